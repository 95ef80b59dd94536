"""The recurrence of the token mixer, forward and backward.

For every channel::

    f = lower + (1 - lower) * sigmoid(scale_f * acc_f)
    i = silu(scale_i * acc_i) * (1 - f)
    h[t] = keep[t] * f * h[t - 1] + i

``acc`` are the ternary sums and ``scale`` their factor, one per token. On a GPU one Triton kernel
each way does all of it and reads every number once; elsewhere plain PyTorch does, which autograd
follows. `keep` is 0 where a document begins and 1 elsewhere.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

try:
    import triton
    import triton.language as tl
except ImportError:  # the CPU build of PyTorch comes without Triton
    triton = None

__all__ = ["recurrence"]

ROWS, COLUMNS = 32, 32  # positions and channels of a tile


def recurrence(
    acc_i: Tensor,
    scale_i: Tensor,
    acc_f: Tensor,
    scale_f: Tensor,
    lower: Tensor,
    keep: Tensor,
    start: Tensor,
) -> Tensor:
    """States of a whole sequence.

    Parameters
    ----------
    acc_i, acc_f
        Ternary sums, ``[batch, time, channels]``.
    scale_i, scale_f
        Their scales, ``[batch, time, 1]``; no gradient flows into them.
    lower
        Lower bounds of the forget gate, ``[channels]``.
    keep
        ``[batch, time]``; 0 forgets the state before.
    start
        State before the first position, ``[batch, channels]``; no gradient flows into it.

    Returns
    -------
    Tensor
        ``[batch, time, channels]``.
    """
    if acc_i.is_cuda:
        return _scan(acc_i, scale_i, acc_f, scale_f, lower, keep, start)
    f = lower + (1 - lower) * torch.sigmoid(acc_f * scale_f)
    i = F.silu(acc_i * scale_i) * (1 - f)
    # Position t stands for the step h -> a h + b over the positions up to t that it has absorbed,
    # twice as many in every round.
    a = f * keep[..., None]
    b = torch.cat([i[:, :1] + a[:, :1] * start[:, None], i[:, 1:]], dim=1)
    reach = 1
    while reach < i.shape[1]:
        b = torch.cat([b[:, :reach], a[:, reach:] * b[:, :-reach] + b[:, reach:]], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], dim=1)
        reach *= 2
    return b


if triton is not None:

    @triton.jit
    def _combine(a0, b0, a1, b1):
        """Compose two steps ``h -> a h + b``."""
        return a0 * a1, a1 * b0 + b1

    @triton.jit
    def _gate(acc, scale, tokens, columns, mask, dim):
        """Read a tile of sums; return the pre-activation, its sigmoid and the scale."""
        s = tl.load(scale + tokens, mask=mask, other=0.0).to(tl.float32)[:, None]
        at = tokens[:, None] * dim + columns[None, :]
        z = tl.load(acc + at, mask=mask[:, None], other=0.0).to(tl.float32) * s
        return z, 1 / (1 + tl.exp(-z)), s

    @triton.jit
    def _forward(
        acc_i, scale_i, acc_f, scale_f, lower, keep, start, out, time, dim,
        ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        first = tl.program_id(0).to(tl.int64) * time
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        low = tl.load(lower + columns).to(tl.float32)[None, :]
        h = tl.load(start + tl.program_id(0) * dim + columns).to(tl.float32)
        step = tl.arange(0, ROWS)
        for tile in range(0, time, ROWS):
            inside = tile + step < time
            tokens = first + tile + step
            zi, si, _ = _gate(acc_i, scale_i, tokens, columns, inside, dim)
            _, sf, _ = _gate(acc_f, scale_f, tokens, columns, inside, dim)
            held = tl.load(keep + tokens, mask=inside, other=0.0).to(tl.float32)[:, None]
            f = low + (1 - low) * sf
            a, b = tl.associative_scan((f * held, zi * si * (1 - f)), 0, _combine)
            states = a * h[None, :] + b
            at = tokens[:, None] * dim + columns[None, :]
            tl.store(out + at, states.to(out.dtype.element_ty), mask=inside[:, None])
            h = tl.sum(tl.where((step == ROWS - 1)[:, None], states, 0.0), 0)

    @triton.jit
    def _backward(
        acc_i, scale_i, acc_f, scale_f, lower, keep, start, out, grad,
        grad_i, grad_f, grad_lower, time, dim,
        ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        first = tl.program_id(0).to(tl.int64) * time
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        low = tl.load(lower + columns).to(tl.float32)[None, :]
        h0 = tl.load(start + tl.program_id(0) * dim + columns).to(tl.float32)[None, :]
        step = tl.arange(0, ROWS)
        carry = tl.zeros([COLUMNS], tl.float32)
        low_sum = tl.zeros([COLUMNS], tl.float32)
        for tile in range(0, time, ROWS):
            t = time - 1 - tile - step  # the last position comes first
            inside = t >= 0
            tokens = first + t
            at = tokens[:, None] * dim + columns[None, :]
            mask = inside[:, None]
            # total[t] = grad[t] + keep[t + 1] * f[t + 1] * total[t + 1]
            after = inside & (t + 1 < time)
            _, sf, _ = _gate(acc_f, scale_f, tokens + 1, columns, after, dim)
            held = tl.load(keep + tokens + 1, mask=after, other=0.0).to(tl.float32)[:, None]
            own = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
            decay = (low + (1 - low) * sf) * held
            a, b = tl.associative_scan((decay, own), 0, _combine)
            total = a * carry[None, :] + b
            carry = tl.sum(tl.where((step == ROWS - 1)[:, None], total, 0.0), 0)
            # gradients of both pre-activations and of the lower bound
            zi, si, scale = _gate(acc_i, scale_i, tokens, columns, inside, dim)
            _, sf, scale_of_f = _gate(acc_f, scale_f, tokens, columns, inside, dim)
            held = tl.load(keep + tokens, mask=inside, other=0.0).to(tl.float32)[:, None]
            before = tl.load(out + at - dim, mask=mask & (t > 0)[:, None], other=0.0)
            before = tl.where((t == 0)[:, None], h0, before.to(tl.float32)) * held
            d_zi = total * (1 - low) * (1 - sf) * si * (1 + zi * (1 - si))
            d_f = total * (before - zi * si)
            d_zf = d_f * (1 - low) * sf * (1 - sf)
            tl.store(grad_i + at, (d_zi * scale).to(grad_i.dtype.element_ty), mask=mask)
            tl.store(grad_f + at, (d_zf * scale_of_f).to(grad_f.dtype.element_ty), mask=mask)
            low_sum += tl.sum(tl.where(mask, d_f * (1 - sf), 0.0), 0)
        tl.store(grad_lower + tl.program_id(0) * dim + columns, low_sum)


def _grid(x: Tensor) -> tuple[int, int]:
    """One program for each sequence and each `COLUMNS` channels."""
    if x.shape[2] % COLUMNS:
        raise ValueError(f"channels must be a multiple of {COLUMNS}, not {x.shape[2]}")
    return x.shape[0], x.shape[2] // COLUMNS


@torch.library.custom_op("sterna::scan", mutates_args=())
def _scan(
    acc_i: Tensor,
    scale_i: Tensor,
    acc_f: Tensor,
    scale_f: Tensor,
    lower: Tensor,
    keep: Tensor,
    start: Tensor,
) -> Tensor:
    inputs = [x.contiguous() for x in (acc_i, scale_i, acc_f, scale_f, lower, keep, start)]
    out = torch.empty_like(inputs[0])
    _forward[_grid(out)](*inputs, out, *out.shape[1:], ROWS=ROWS, COLUMNS=COLUMNS)
    return out


@_scan.register_fake
def _(acc_i, scale_i, acc_f, scale_f, lower, keep, start):
    return torch.empty_like(acc_i, memory_format=torch.contiguous_format)


@torch.library.custom_op("sterna::scan_backward", mutates_args=())
def _scan_backward(
    acc_i: Tensor,
    scale_i: Tensor,
    acc_f: Tensor,
    scale_f: Tensor,
    lower: Tensor,
    keep: Tensor,
    start: Tensor,
    out: Tensor,
    grad: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [x.contiguous() for x in (acc_i, scale_i, acc_f, scale_f, lower, keep, start)]
    grad_i, grad_f = torch.empty_like(inputs[0]), torch.empty_like(inputs[0])
    grad_lower = lower.new_empty(out.shape[0], out.shape[2], dtype=torch.float32)
    _backward[_grid(out)](
        *inputs, out, grad.contiguous(), grad_i, grad_f, grad_lower, *out.shape[1:],
        ROWS=ROWS, COLUMNS=COLUMNS,
    )  # fmt: skip
    return grad_i, grad_f, grad_lower


@_scan_backward.register_fake
def _(acc_i, scale_i, acc_f, scale_f, lower, keep, start, out, grad):
    like = torch.empty_like(acc_i, memory_format=torch.contiguous_format)
    partial = lower.new_empty(out.shape[0], out.shape[2], dtype=torch.float32)
    return like, torch.empty_like(like), partial


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs, output)


def _differentiate(ctx, grad):
    grad_i, grad_f, grad_lower = _scan_backward(*ctx.saved_tensors, grad)
    lower = grad_lower.sum(0).to(ctx.saved_tensors[4].dtype)
    return grad_i, None, grad_f, None, lower, None, None


_scan.register_autograd(_differentiate, setup_context=_save)
