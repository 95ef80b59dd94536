"""Pins of an SDR SDRAM, as the controller drives them."""

from __future__ import annotations

from amaranth.lib.wiring import In, Out, Signature

from sterna.spec.sdram import WORD_BITS, Command, Part

__all__ = ["Pins"]


class Pins(Signature):
    """All outputs are registered, so that they can stand in the pads' own flip-flops.

    `command` is RAS#, CAS# and WE# (bits 2 to 0) and begins as NOP; CS# is low for good.

    Parameters
    ----------
    part : Part
    """

    def __init__(self, part: Part) -> None:
        super().__init__(
            {
                "cke": Out(1, init=1),
                "cs_n": Out(1),
                "command": Out(3, init=Command.NOP),
                "bank": Out(part.bank_bits),
                "address": Out(max(part.row_bits, part.column_bits, 11)),
                "mask": Out(WORD_BITS // 8, init=(1 << WORD_BITS // 8) - 1),
                "data": Out(
                    Signature(
                        {
                            "o": Out(WORD_BITS),
                            "oe": Out(1),
                            "i": In(WORD_BITS),
                        }
                    )
                ),
            }
        )
