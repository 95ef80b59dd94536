"""A model as a list of steps: what one token does, independent of any chip.

The steps stand in the order in which the chip runs them. The golden model executes them directly;
the tape (`sterna.model.layout`) is the same list with the weights packed for one chip
configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Op", "Source", "Stats", "Step"]


class Op(IntEnum):
    """What the epilogue does with the row sums of a segment."""

    EMBED = 0  #: x <- y, where y is the token's embedding row times its scale
    SILU = 1  #: scratch <- silu(y)                        (i_proj; gate half of gate_proj)
    STATE = 2  #: h <- f * h + (1 - f) * scratch             (f_proj; f = lb + (1 - lb) sigmoid(y))
    GATE = 3  #: scratch <- y * silu(h)                    (g_proj)
    PRODUCT = 4  #: scratch <- y * scratch                    (up half of gate_proj)
    RESIDUAL = 5  #: x <- x + y                                (o_proj, down_proj)
    LOGITS = 6  #: y to the sampler                          (lm_head)

    @property
    def gathers(self) -> bool:
        """Whether the results are the next quantiser input: its statistics are gathered here."""
        return self in (Op.EMBED, Op.GATE, Op.PRODUCT, Op.RESIDUAL)


class Stats(IntEnum):
    """Where the statistics of a segment's quantisation come from."""

    FRESH = 0  #: largest product and sums, gathered while the source was written
    MAXIMUM = 1  #: sums kept (same source); a pass over the source finds the largest product
    KEEP = 2  #: same source and vector as the segment before: everything kept


class Source(IntEnum):
    """Bank from which a segment's activations are quantised."""

    RESIDUAL = 0
    SCRATCH = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One projection (or the embedding) with every constant that its arithmetic needs.

    Attributes
    ----------
    name : str
        Name of the weight matrix, as in the checkpoint; ``"gate"`` and ``"up"`` for the halves of
        gate_proj.
    op, stats : Op, Stats
    rows, columns : int
        Shape of the weight matrix, [out, in]; columns is 0 for EMBED.
    layer : int
        Row of the state that STATE and GATE use.
    vector_a : str or None
        STATE: lower bound (unsigned, 16 fraction bits; None is 0). Gathering ops but PRODUCT:
        weight w1 of the next sum of squares.
    vector_b : str or None
        Gathering ops: the next segment's `vector_q`.
    vector_q : str or None
        Folded norm weights w12 with which this segment's source is quantised.
    scale : tuple of int
        Mantissa and exponent of the constant factor of the output scale. EMBED: mantissa unused.
    eps : tuple of int
        Mantissa and exponent of the factor of the second sum of squares.
    eps_constant : int
        Integer added to the denominator.
    sigmoid_shift : int
        Fraction bits of the sigmoid's input less 4, 0 to 15.
    out_shift : int
        Right shift of the epilogue's last product, 0 to 31.
    residual_shift : int
        RESIDUAL: right shift of the old residual, 0 to 15 (its binary point moves down).
    fraction : int
        Fraction bits of the result (for people and for logits; the arithmetic does not need it).
    """

    name: str
    op: Op
    stats: Stats
    rows: int
    columns: int
    layer: int = 0
    vector_a: str | None = None
    vector_b: str | None = None
    vector_q: str | None = None
    scale: tuple[int, int] = (0, 0)
    eps: tuple[int, int] = (0, 0)
    eps_constant: int = 0
    sigmoid_shift: int = 0
    out_shift: int = 0
    residual_shift: int = 0
    fraction: int = 0

    @property
    def source(self) -> Source:
        """RESIDUAL segments (o_proj, down_proj) read the scratch bank, all others the residual."""
        return Source.SCRATCH if self.op is Op.RESIDUAL else Source.RESIDUAL
