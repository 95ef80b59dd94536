"""What is simulated behind the root complex: the chip, or its registers alone."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Member, Out

from sterna.spec.registers import Memory
from sterna_rtl.control.registers import REQUEST, Registers
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.pcie_chip import PcieChip
from tests.chip.models import config_for

__all__ = ["ANSWER", "CLOCK_HZ", "CONFIG", "RegistersAlone", "registers_top"]

CONFIG = config_for("odd-columns")
CLOCK_HZ = 250_000_000
ANSWER = 0xDA7A_0001  # what DATA reads as


class RegistersAlone(Component):
    """The chip's registers with nothing behind them.

    TOKEN has no room. DATA has, and it answers unless STREAM is selected.

    Parameters
    ----------
    ports : dict
        Others that the chip has in this place; nothing happens there.
    """

    def __init__(self, **ports: Member) -> None:
        self.registers = Registers(CONFIG, clock_hz=CLOCK_HZ)
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST)),
                "o": Out(stream.Signature(32)),
                "refused": Out(1),
                "clear": In(1),
                **ports,
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        registers = self.registers
        m.submodules.registers = ResetInserter(self.clear)(registers)
        connect_stream(m, self.i, registers.i)
        connect_stream(m, registers.o, self.o)
        m.d.comb += [
            self.refused.eq(registers.refused),
            registers.piece_room.eq(1),
            registers.o_piece.ready.eq(1),
            registers.i_piece.valid.eq(registers.memory != Memory.STREAM),
            registers.i_piece.payload.eq(ANSWER),
        ]
        return m


def registers_top(width: int) -> PcieChip:
    """The endpoint with the registers alone, which builds fast at every width."""
    top = PcieChip(CONFIG, width, CLOCK_HZ)
    top.chip = RegistersAlone()
    return top
