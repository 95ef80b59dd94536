"""The epilogue's arithmetic for one element."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import (
    PRE_BITS,
    RESIDUAL_BITS,
    SCALE_BITS,
    SCRATCH_BITS,
    STATE_BITS,
    VECTOR_BITS,
)
from sterna.spec.program import Op
from sterna_rtl.arith.pre_activation import PreActivation
from sterna_rtl.arith.rounding import RoundShift, saturate
from sterna_rtl.arith.sigmoid import Sigmoid
from sterna_rtl.lib.delay import delay_line

__all__ = ["CONTROL", "OPERATION", "Lane"]

OPERATION = StructLayout({op.name.lower(): 1 for op in Op})
"""Operation of the segment in flight, one bit each."""

CONTROL = StructLayout(
    {
        "operation": OPERATION,
        "bounded": 1,
        "shift": 6,
        "sigmoid_shift": 4,
        "out_shift": 5,
        "residual_shift": 4,
    }
)
"""What a lane has to know of a segment."""


class Lane(Component):
    """From a row sum and bank words to the new bank words, exactly as `sterna.golden.epilogue`.

    A pipeline without valid bits: an operation's result comes a fixed number of clocks after the
    sum, and so must the bank words that it needs. Each operation takes its shortest way: segments
    never overlap, so different ways may end in the same register. With every ``>>`` rounding:

        y = clamp(sum * mantissa >> shift)
        EMBED     x' = y
        RESIDUAL  x' = clamp((x >> residual_shift) + y)
        SILU      scratch' = clamp(y * sigmoid(y) >> out_shift)
        GATE      scratch' = clamp(y * (h * sigmoid(h) >> 16) >> out_shift)
        PRODUCT   scratch' = clamp(y * scratch >> out_shift)
        STATE     r = 1 - f = (1 - bound) - ((1 - bound) * sigmoid(y) >> 16), where 1 is 2**16
                  h' = clamp((h * (1 - r) >> 16) + (r * scratch >> out_shift))

    The recurrence multiplies h by r and takes the product from h, which is the same before it is
    rounded: both of its products share one operand.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    sum, mantissa : Signal, in
        Row sum and scale.
    control : View, in
        `CONTROL`, the same while a segment is in flight: each lane has a copy, a clock late.
    residual, scratch, state, bound : Signal, in
        x, scratch, h and lower bound as they come from the RAMs, see `reads`.
    y, new_residual, new_scratch, new_state : Signal, out
        Results, see `writes`.
    y_clamped, residual_clamped, scratch_clamped, state_clamped : Signal, out
        Go with them. A clamped `scratch` of STATE does not count: its sum with h decides.
    y_late : Signal, out
        y again, together with the `new_scratch` of GATE.
    y_latency : int
        Clocks from the sum to y: 5, or 6 if a row sum is wider than 18 bits.
    writes : dict
        Clocks from the sum to each operation's result: y_latency + 2 for EMBED and RESIDUAL, + 0
        LOGITS, + 5 PRODUCT, + 9 GATE, + 11 SILU, + 14 STATE.
    reads : dict
        By input and operation: clocks from the sum to the bank word.

    Throughput
        1 per clock, without backpressure.

    Resources
        Five multipliers.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.sum_bits = config.row_sum_bits
        self.pre_activation = PreActivation(self.sum_bits)
        self.y_latency = y = self.pre_activation.latency
        self.writes = {
            Op.EMBED: y + 2,
            Op.RESIDUAL: y + 2,
            Op.LOGITS: y,
            Op.PRODUCT: y + 5,
            Op.GATE: y + 9,
            Op.SILU: y + 11,
            Op.STATE: y + 14,
        }
        self.reads = {
            "residual": {Op.RESIDUAL: y - 4},
            "scratch": {Op.PRODUCT: y - 1, Op.STATE: y + 6},
            "state": {Op.GATE: y - 4, Op.STATE: y + 7},
            "bound": {Op.STATE: y + 4},
        }
        super().__init__(
            {
                "sum": In(signed(self.sum_bits)),
                "mantissa": In(SCALE_BITS),
                "control": In(CONTROL),
                "residual": In(signed(RESIDUAL_BITS)),
                "scratch": In(signed(SCRATCH_BITS)),
                "state": In(signed(STATE_BITS)),
                "bound": In(VECTOR_BITS),
                "y": Out(signed(PRE_BITS)),
                "y_late": Out(signed(PRE_BITS)),
                "new_residual": Out(signed(RESIDUAL_BITS)),
                "new_scratch": Out(signed(SCRATCH_BITS)),
                "new_state": Out(signed(STATE_BITS)),
                "y_clamped": Out(1),
                "residual_clamped": Out(1),
                "scratch_clamped": Out(1),
                "state_clamped": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        # Comments give the clock in which a register shows its value, counted from y ("y+0").
        m = Module()
        self.copy = control = Signal(CONTROL)  # lanes lie across the chip
        m.d.sync += control.eq(self.control)
        m.submodules.pre_activation = pre_activation = self.pre_activation
        m.d.comb += [
            pre_activation.sum.eq(self.sum),
            pre_activation.mantissa.eq(self.mantissa),
            pre_activation.shift.eq(control.shift),
            self.y.eq(pre_activation.y),
            self.y_clamped.eq(pre_activation.clamped),
        ]
        y = delay_line(m, self.y, 9, "y", reset_less=True)
        m.d.comb += self.y_late.eq(y[9])
        self._residual(m)

        # RAM outputs are slow: each goes into a register first.
        h = Signal(signed(STATE_BITS), reset_less=True)  # GATE y-3, STATE y+8
        scratch = Signal(signed(SCRATCH_BITS), reset_less=True)  # PRODUCT y+0, STATE y+7
        m.d.sync += [h.eq(self.state), scratch.eq(self.scratch)]
        h_late = delay_line(m, h, 5, "h", reset_less=True)

        m.submodules.sigmoid = sigmoid = Sigmoid()  # GATE y+3, SILU and STATE y+6
        m.d.comb += sigmoid.value.eq(Mux(control.operation.gate, h, self.y))
        m.d.comb += sigmoid.shift.eq(control.sigmoid_shift)
        mixed = self._mixed(m, h_late[5], sigmoid.result)

        # PRODUCT y+1, GATE y+5, SILU y+7, STATE y+8
        a, b = Signal(signed(17), reset_less=True), Signal(signed(18), reset_less=True)
        m.d.sync += a.eq(y[0])
        m.d.sync += b.eq(scratch)
        with m.If(control.operation.silu):
            m.d.sync += [a.eq(y[6]), b.eq(sigmoid.result)]
        with m.If(control.operation.gate):
            m.d.sync += [a.eq(y[4]), b.eq(mixed)]
        with m.If(control.operation.state):
            m.d.sync += a.eq(mixed)

        product = Signal(signed(34), reset_less=True)  # STATE y+9
        m.d.sync += product.eq(a * b)
        m.submodules.rounding = rounding = RoundShift(34, 5, SCRATCH_BITS)  # STATE y+12
        m.d.comb += [
            rounding.value.eq(product),
            rounding.shift.eq(control.out_shift),
            self.new_scratch.eq(rounding.result),
            self.scratch_clamped.eq(rounding.clamped),
        ]
        self._state(m, a, h, h_late[1], rounding.result)
        return m

    def _residual(self, m: Module) -> None:
        """Add y to x, which moves to its new binary point first."""
        x = Signal(signed(RESIDUAL_BITS), reset_less=True)  # y-3
        m.d.sync += x.eq(Mux(self.copy.operation.embed, 0, self.residual))
        # One bit wider than x, so that nothing is clamped before the sum.
        m.submodules.residual = shifted = RoundShift(RESIDUAL_BITS, 4, RESIDUAL_BITS + 1)  # y+0
        m.d.comb += [shifted.value.eq(x), shifted.shift.eq(self.copy.residual_shift)]

        total = Signal(signed(RESIDUAL_BITS + 2), reset_less=True)  # y+1
        m.d.sync += total.eq(shifted.result + self.y)
        clamped, is_clamped = saturate(m, total, RESIDUAL_BITS)
        m.d.sync += [self.new_residual.eq(clamped), self.residual_clamped.eq(is_clamped)]  # y+2

    def _mixed(self, m: Module, h: Signal, sigmoid: Signal) -> Signal:
        """Return h * sigmoid(h) for GATE (y+4) and 1 - f for STATE (y+7), 16 fraction bits.

        Both are a product with the sigmoid, rounded, and one adder does for both. For 1 - f the
        product is taken from 1 - bound: its complement is its negative less one, which turns the
        rounding of halves round, so that the same half is added.
        """
        state = Signal()
        m.d.comb += state.eq(self.copy.operation.state)
        bound = Signal(VECTOR_BITS, reset_less=True)  # STATE y+5
        m.d.sync += bound.eq(Mux(self.copy.bounded, self.bound, 0))
        factor = Signal(signed(18), reset_less=True)  # beside the sigmoid
        m.d.sync += factor.eq(Mux(state, 65536 - bound, h))

        product = Signal(signed(34), reset_less=True)
        free = Signal(17, reset_less=True)  # 1 - bound for STATE, else 0
        m.d.sync += product.eq(factor * sigmoid)
        m.d.sync += free.eq(factor & state.replicate(18))
        total = Cat(C(1 << 15, 16), free, C(0, 1)) + (product ^ state.replicate(34))
        mixed = Signal(signed(17))
        m.d.comb += mixed.eq(total[16:])
        return mixed

    def _state(self, m: Module, rest: Signal, h: Signal, h_late: Signal, new: Signal) -> None:
        """Compute h' from 1 - f and h (y+8), h once more (y+9) and the product with c (y+12).

        That product was clamped to 18 bits, which does not change h': as f * h has only 16, the
        sum is beyond 16 bits with the same sign either way.
        """
        product = Signal(signed(33), reset_less=True)  # y+9
        m.d.sync += product.eq(rest * h)
        kept = Signal(signed(STATE_BITS + 1), reset_less=True)  # f * h, y+10
        total = Cat(C(1 << 15, 16), h_late).as_signed() - product
        m.d.sync += kept.eq(total >> 16)
        kept_late = delay_line(m, kept, 2, "kept", reset_less=True)

        total = Signal(signed(SCRATCH_BITS + 1), reset_less=True)  # y+13
        m.d.sync += total.eq(new + kept_late[2])
        clamped, is_clamped = saturate(m, total, STATE_BITS)
        m.d.sync += [self.new_state.eq(clamped), self.state_clamped.eq(is_clamped)]  # y+14
