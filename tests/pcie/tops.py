"""What is simulated behind the root complex: the chip, or its registers alone."""

from __future__ import annotations

from dataclasses import replace

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Member, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.registers import Counter, Memory
from sterna.spec.trits import Packing
from sterna_rtl.control.registers import REQUEST, Registers
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.pcie_chip import PcieChip
from tests.chip.models import config_for

__all__ = [
    "ANSWER",
    "CLOCK_HZ",
    "CONFIG",
    "DMA_CONFIG",
    "RegistersAlone",
    "registers_top",
    "tape_config",
    "tape_top",
]

CONFIG = config_for("odd-columns")
DMA_CONFIG = config_for("ring")
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


class TapeAlone(RegistersAlone):
    """Registers, and a ring that always has room.

    COUNTER_TOKENS counts the words of the tape; COUNTER_SEGMENTS is turned by a bit for each, and
    its lowest 32 bits are added without carry, so that another order gives another sum.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        word = Layouts(config).word
        super().__init__(
            i_tape=In(stream.Signature(word)),
            restart=Out(1),
            space=Out(range(config.ring_words + 1)),
            tape_length=Out(24),
        )

    def elaborate(self, platform) -> Module:
        m = super().elaborate(platform)
        registers, word = self.registers, Value.cast(self.i_tape.payload)
        count, mix = (registers.counters[number] for number in (Counter.TOKENS, Counter.SEGMENTS))
        m.d.comb += [
            self.i_tape.ready.eq(1),
            self.space.eq(self.config.ring_words),
            self.tape_length.eq(registers.tape_length),
        ]
        with m.If(self.i_tape.valid):
            m.d.sync += [count.eq(count + 1), mix.eq(mix.rotate_left(1) ^ word[:32])]
        return m


def tape_config(width: int) -> ChipConfig:
    """A chip whose words fill a beat, with a ring that holds 32 KiB."""
    lanes = {"rows": 4, "columns": width // 8, "elements": 4, "packing": Packing.TWO_BITS}
    words = 32 * 1024 * 8 // width
    return replace(CONFIG, **lanes, tape_words=0, ring_words=words)


def tape_top(width: int) -> PcieChip:
    """The endpoint with DMA alone."""
    config = tape_config(width)
    top = PcieChip(config, width, CLOCK_HZ)
    top.chip = TapeAlone(config)
    return top
