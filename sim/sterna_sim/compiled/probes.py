"""Probes: every unit boundary of the chip, brought to pins of a simulation top."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import *
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.activity import ACTIVITY
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import ChipConfig
from sterna.spec.link import DEFAULT_BAUD
from sterna.spec.sdram import WORD_BITS
from sterna_rtl.chip import Chip
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.link.link import SerialLink
from sterna_rtl.memory.axi4 import Axi4Channels

__all__ = ["CLOCK_HZ", "LEVELS", "PROBES", "Probe", "ProbedChip", "clock_hz"]

CLOCK_HZ = 12_000_000
"""What the simulated chip takes its clock for: 4 clocks per bit are 3 Mbaud. A slow clock, so that
the first bytes, at the link's first speed, take few clocks."""

_BESIDE_MEMORY_HZ = 100_000_000


def clock_hz(config: ChipConfig) -> int:
    """Return what a simulated chip takes its clock for.

    With a memory beside it that is what boards are to reach: times of the memory are in ns.
    """
    return _BESIDE_MEMORY_HZ if config.memory else CLOCK_HZ


LEVELS = {"command": 3, "bank": 2, "address": 13, "mask": 2, "cke": 1, "cs_n": 1}
"""Bits of the levels at the pins of a memory, lowest first."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A place where the chip is compared with the golden model.

    Attributes
    ----------
    name : str
    unit : str
        Unit that drives it, for messages.
    """

    name: str
    unit: str


PROBES = (
    Probe("activations", "quantizer"),
    Probe("scale", "quantizer"),
    Probe("sums", "engine"),
    Probe("residual", "epilogue"),
    Probe("scratch", "epilogue"),
    Probe("state", "epilogue"),
    Probe("logits", "epilogue"),
    Probe("token", "sampler"),
    Probe("activity", "chip"),
)
"""In the order of the data path; the last one has an event on every clock."""


class ProbedChip(Component):
    """`Chip` behind a UART, with an event flag and a payload for each probe.

    While `direct` is up, register requests come from a port instead, as long runs want it: what was
    given with `request_valid` waits in a register, `request_taken` and `refused` tell what became
    of it, and an answer is up for one clock. The port has names of its own: Verilator writes two
    underscores in another way.

    Inputs end in registers, the reset too: what depends on an input is computed anew each time that
    the model is evaluated, and that is twice a clock.

    Parameters
    ----------
    config : ChipConfig
    """

    def __init__(self, config: ChipConfig) -> None:
        clock = clock_hz(config)
        divisor = round(clock / DEFAULT_BAUD)
        self.chip = chip = Chip(config, clock_hz=clock, uart_divisor=divisor)
        self.link = SerialLink(divisor)
        writes = {
            name: (getattr(chip.epilogue, f"{name}_write"))
            for name in ("residual", "scratch", "state")
        }
        self.taps = {
            "activations": _stream(chip.quantizer.o_activations),
            "scale": _stream(chip.quantizer.o_scale),
            "sums": _stream(chip.regroup.o),
            **{name: (port.enable, Value.cast(port.data)) for name, port in writes.items()},
            "logits": _stream(chip.epilogue.o_logits),
            "token": _stream(chip.sampler.o_token),
            "activity": (Const(1), _activity(chip)),
        }
        super().__init__(
            {
                "clk": In(1),
                "rst": In(1),
                "request": In(REQUEST),
                "request_valid": In(1),
                "request_taken": Out(1),
                "answer": Out(32),
                "answer_valid": Out(1),
                "refused": Out(1),
                "direct": In(1),
                "busy": Out(1),
                "rx": In(1),
                "tx": Out(1),
                **_outside(config),
                **{f"{name}_event": Out(1) for name in self.taps},
                **{f"{name}_value": Out(len(value)) for name, (_, value) in self.taps.items()},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain(reset_less=True)
        m.d.comb += sync.clk.eq(self.clk)
        reset = Signal(reset_less=True)
        m.d.sync += reset.eq(self.rst)
        link = self.link
        m.submodules.chip = ResetInserter(reset)(self.chip)
        m.submodules.link = ResetInserter(reset)(link)
        i, o = self.chip.i, self.chip.o
        direct, waiting, request = Signal(), Signal(), Signal(REQUEST)
        m.d.sync += direct.eq(self.direct)
        with m.If(~waiting | self.request_taken):
            m.d.sync += [waiting.eq(self.request_valid), request.eq(self.request)]
        with m.If(direct):
            m.d.comb += [i.payload.eq(request), i.valid.eq(waiting), o.ready.eq(1)]
            m.d.comb += self.request_taken.eq(transfers(i))
            m.d.comb += [self.answer.eq(o.payload), self.answer_valid.eq(o.valid)]
        with m.Else():
            connect_stream(m, link.o, i)
            connect_stream(m, o, link.i)
        m.d.comb += [
            self.refused.eq(self.chip.refused),
            self.busy.eq(self.chip.generator.busy | self.chip.checker.busy),
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            link.refused.eq(self.chip.refused),
            link.divisor.eq(self.chip.divisor),
            self.chip.clear.eq(link.line_break),
        ]
        if self.chip.config.memory in AXI4:
            for number, port in enumerate(self.chip.axi):
                for name, member in Axi4Channels(AXI4[self.chip.config.memory]).members.items():
                    inner, outer = getattr(port, name), getattr(self, f"axi_{number}_{name}")
                    m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
        elif self.chip.config.memory:
            pins = self.chip.pins
            m.d.sync += [  # the pads' registers
                *(getattr(self.memory_levels, name).eq(getattr(pins, name)) for name in LEVELS),
                self.memory_data.eq(pins.data.o),
                self.memory_drives.eq(pins.data.oe),
                pins.data.i.eq(self.memory_word),
            ]
        elif self.chip.config.ring_words:
            tape = self.chip.i_tape
            m.d.comb += [tape.payload.eq(self.tape_word), tape.valid.eq(self.tape_valid)]
            m.d.comb += [self.tape_ready.eq(tape.ready), self.tape_restart.eq(self.chip.restart)]
        for name, (event, value) in self.taps.items():
            m.d.comb += getattr(self, f"{name}_event").eq(event)
            m.d.comb += getattr(self, f"{name}_value").eq(value)
        return m


def _outside(config: ChipConfig) -> dict:
    """Ports of a memory beside the chip, or of a tape from outside."""
    if config.memory in AXI4:
        memory = AXI4[config.memory]
        channels = Axi4Channels(memory).members.items()
        return {f"axi_{n}_{name}": member for n in range(memory.ports) for name, member in channels}
    if config.memory:
        return {
            "memory_levels": Out(StructLayout(LEVELS)),
            "memory_data": Out(WORD_BITS),
            "memory_drives": Out(1),
            "memory_word": In(WORD_BITS),
        }
    if not config.ring_words:
        return {}
    return {
        "tape_word": In(config.word_bits),
        "tape_valid": In(1),
        "tape_ready": Out(1),
        "tape_restart": Out(1),
    }


def _activity(chip: Chip) -> Value:
    """Bits as `sterna.spec.activity` orders them."""
    counters, engine, epilogue = chip.counters, chip.engine, chip.epilogue
    taken = transfers(epilogue.i_sums) | transfers(epilogue.i_embedding)
    states = {
        "tape": (transfers(chip.sequencer.i), counters.tape_blocked),
        "quantizer": (
            transfers(chip.quantizer.o_activations),
            counters.quantizer_barrier,
            counters.quantizer_blocked,
        ),
        "engine": (engine.busy, counters.engine_starved, counters.engine_waiting,
                   counters.engine_blocked),
        "epilogue": (taken, counters.epilogue_blocked),
        "sampler": (transfers(epilogue.o_logits), counters.sampler_blocked),
    }  # fmt: skip
    assert {unit: len(bits) for unit, bits in states.items()} == {
        unit: len(names) for unit, names in ACTIVITY.items()
    }
    bits = [bit for unit in ACTIVITY for bit in states[unit]]
    return Value.cast(Cat(bits, chip.generator.busy))


def _stream(port) -> tuple[Value, Value]:
    return transfers(port), Value.cast(port.payload)
