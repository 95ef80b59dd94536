"""Shifts, rounding and saturation as `sterna.spec.fixed` defines them."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["RoundShift", "Shifter", "saturate"]


def _limit(sign: Value, bits: int) -> Value:
    """Return ``+-(2**(bits-1) - 1)``, of the given sign."""
    largest = (1 << (bits - 1)) - 1
    return Mux(sign, -largest, largest)


def saturate(m: Module, value: Value, bits: int) -> tuple[Value, Value]:
    """Clamp to ``+-(2**(bits-1) - 1)``; return the result and whether it was clamped.

    Combinational. `value` is signed and has more than `bits` bits.
    """
    sign, clamped = Signal(), Signal()
    beyond = (value[bits - 1 : -1] ^ sign.replicate(len(value) - bits)).any()
    lowest = sign & ~value[: bits - 1].any()
    m.d.comb += [sign.eq(value[-1]), clamped.eq(beyond | lowest)]
    return Mux(clamped, _limit(sign, bits), value[:bits].as_signed()), clamped


def _shift(
    m: Module, value: Value, amount: Value, unit: int, bits: int, name: str
) -> tuple[Value, Value]:
    """Shift right by ``amount * unit``; return the lower `bits` bits and whether others are lost.

    The highest of the bits returned is the sign in any case.
    """
    sign, differs = Signal(name=f"{name}_sign"), Signal(len(value) - 1, name=f"{name}_differs")
    m.d.comb += [sign.eq(value[-1]), differs.eq(value[:-1] ^ sign.replicate(len(differs)))]
    bits = min(bits, len(value))
    # A shift by k units loses what lies above bit k * unit + bits - 2. Asked of the bits before the
    # shift, this takes no longer than the shift itself.
    lost = Const(0)
    for k in range(1 << len(amount)):
        group = differs[bits - 1 + k * unit :][:unit]
        lost |= group.any() & (amount <= k)
    shifted = value.as_signed() >> Cat(C(0, unit.bit_length() - 1), amount)
    return Cat(shifted[: bits - 1], sign), lost


class Shifter(Component):
    """Shift a signed number right, ``value >> shift``, into a narrower one.

    Parameters
    ----------
    value_bits, shift_bits, result_bits : int
        Widths.

    Attributes
    ----------
    value, shift : Signal, in
    result : Signal, out
        Has the sign of `value` even on overflow.
    overflow : Signal, out
        The shifted number does not fit in `result`, whose lower bits are then meaningless.

    Latency
        2 clocks: the upper bits of the shift (in steps of 4 or 8), then the lower ones.

    Throughput
        1 per clock, without backpressure. `shift` goes with `value` only if it keeps still from one
        value to the next (the lower half is used a clock after the upper one).
    """

    latency = 2

    def __init__(self, value_bits: int, shift_bits: int, result_bits: int) -> None:
        self.low_bits = shift_bits // 2
        super().__init__(
            {
                "value": In(signed(value_bits)),
                "shift": In(shift_bits),
                "result": Out(signed(result_bits)),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        high, low = self.shift[self.low_bits :], self.shift[: self.low_bits]
        unit = 1 << self.low_bits

        coarse, lost = _shift(m, self.value, high, unit, len(self.result) + unit - 1, "coarse")
        window = Signal(signed(len(coarse)), reset_less=True)
        lost_above = Signal(reset_less=True)
        m.d.sync += [window.eq(coarse), lost_above.eq(lost)]

        fine, lost = _shift(m, window, low, 1, len(self.result), "fine")
        m.d.sync += [self.result.eq(fine.as_signed()), self.overflow.eq(lost_above | lost)]
        return m


class RoundShift(Component):
    """Divide by a power of two, ``floor(value / 2**shift + 1/2)``, and clamp symmetrically.

    Parameters
    ----------
    value_bits, shift_bits, result_bits : int
        Widths. A result as wide as `value` or wider is never clamped but for the lowest number.

    Attributes
    ----------
    value, shift : Signal, in
    result : Signal, out
        Within ``+-(2**(result_bits-1) - 1)``.
    clamped : Signal, out

    Latency
        3 clocks: two of `Shifter`, one to round and clamp.

    Throughput
        1 per clock, without backpressure; `shift` keeps still from one value to the next.
    """

    latency = Shifter.latency + 1

    def __init__(self, value_bits: int, shift_bits: int, result_bits: int) -> None:
        super().__init__(
            {
                "value": In(signed(value_bits)),
                "shift": In(shift_bits),
                "result": Out(signed(result_bits)),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = len(self.result)
        # One bit more at the bottom: the last bit shifted out is the one that rounds.
        m.submodules.shifter = shifter = Shifter(len(self.value) + 1, len(self.shift), bits + 1)
        m.d.comb += shifter.value.eq(Cat(C(0, 1), self.value).as_signed())
        m.d.comb += shifter.shift.eq(self.shift)

        shifted = shifter.result
        sign, clamped = Signal(), Signal()
        m.d.comb += sign.eq(shifted[-1])
        # Seen before the rounding adder, not after it: the largest number is about to be rounded up
        # (0111..1 with the bit 1), or the lowest is not (1000..0 with the bit 0).
        extreme = (shifted[:-1] ^ sign.replicate(bits)).all()
        m.d.comb += clamped.eq(shifter.overflow | extreme)
        rounded = shifted[1:].as_signed() + shifted[0]
        m.d.sync += self.result.eq(Mux(clamped, _limit(sign, bits), rounded))
        m.d.sync += self.clamped.eq(clamped)
        return m
