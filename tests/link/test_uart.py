"""UART: bytes from one end to the other, other speeds, glitches, breaks."""

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.uart import BREAK_BITS, RECEIVED, UartReceiver, UartTransmitter
from sterna_sim.kit import Case, UnitBench, bench_tests, edited


class Loop(Component):
    """A transmitter and a receiver at its pin."""

    def __init__(self, transmitter, receiver, divisor) -> None:
        self.transmitter, self.receiver, self.divisor = transmitter, receiver, divisor
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(RECEIVED))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.transmitter = transmitter = self.transmitter
        m.submodules.receiver = receiver = self.receiver
        m.submodules.queue = queue = Queue(RECEIVED, 100)
        connect_stream(m, self.i, transmitter.i)
        connect_stream(m, receiver.o, queue.i)
        connect_stream(m, queue.o, self.o)
        m.d.comb += [
            transmitter.divisor.eq(self.divisor),
            receiver.divisor.eq(self.divisor),
            receiver.rx.eq(transmitter.tx),
        ]
        return m


def broken(unit, old, new):
    both = {
        UartTransmitter: UartTransmitter,
        UartReceiver: UartReceiver,
        unit: edited(unit, old, new),
    }
    return lambda divisor: Loop(both[UartTransmitter](), both[UartReceiver](), divisor)


class UartBench(UnitBench):
    """All bytes there are, back to back and with pauses."""

    name = "uart"
    configs = {"divisor-4": 4, "divisor-5": 5, "divisor-7": 7, "divisor-16": 16}
    bug_configs = ("divisor-4",)
    bugs = {
        "highest bit first": broken(
            UartReceiver, "data.eq(Cat(data[1:], rx))", "data.eq(Cat(rx, data[:-1]))"
        ),
        "no stop bit": broken(
            UartTransmitter, "self.i.payload, C(1, 1))", "self.i.payload, C(0, 1))"
        ),
        "nine bits": broken(UartTransmitter, "left.eq(10)", "left.eq(9)"),
        "a gap after each byte": broken(UartTransmitter, "self.idle | last", "self.idle"),
        "a clock too long": broken(
            UartTransmitter, "clocks.eq(self.divisor - 1),\n                bits.eq(Cat(bits[1:]",
            "clocks.eq(self.divisor),\n                bits.eq(Cat(bits[1:]"
        ),
        "samples at the edge": broken(
            UartReceiver, "clocks.eq((self.divisor >> 1) - 1)", "clocks.eq(self.divisor - 1)"
        ),
        "seven bits": broken(UartReceiver, "bits == 7", "bits == 6"),
    }  # fmt: skip
    not_stalled = {"i": "a byte takes ten bits", "o": "a queue takes what comes"}

    def dut(self, config):
        return Loop(UartTransmitter(), UartReceiver(), config)

    def cases(self, config, rng):
        data = [0, 255, 0x55, 0xAA, 1, 128, *rng.integers(0, 256, 60).tolist()]
        yield Case(
            {"i": data},
            {"o": [{"data": byte, "error": 0} for byte in data]},
            clocks=10 * config * len(data) + 8,
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(UartBench())


def receive(levels, divisor):
    """Items and breaks that a receiver gives for levels, a pair of length in clocks and level."""
    receiver = UartReceiver()
    items, breaks = [], 0

    async def drive(ctx):
        nonlocal breaks
        ctx.set(receiver.divisor, divisor)
        ctx.set(receiver.o.ready, 1)
        time = 0.0
        for length, level in levels:
            ctx.set(receiver.rx, level)
            time += length
            while time >= 1:
                time -= 1
                *_, valid, data, error, line_break = await ctx.tick().sample(
                    receiver.o.valid,
                    receiver.o.payload.data,
                    receiver.o.payload.error,
                    receiver.line_break,
                )
                if valid:
                    items.append((data, error))
                breaks += line_break

    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return items, breaks


def levels(data, bit, stop=1):
    """A byte on the line."""
    return [(bit, 0), *((bit, data >> n & 1) for n in range(8)), (bit, stop)]


@pytest.mark.parametrize("divisor", [4, 5, 16])
@pytest.mark.parametrize("off", [0.98, 1.0, 1.02])
def test_other_speed(divisor, off):
    """A sender that is 2 % too fast or too slow, starting at any phase."""
    data = [0x00, 0xFF, 0x55, 0x80, 0x01, 0xA5]
    for phase in (0.0, 0.3, 0.6, 0.9):
        line = [(3 + phase, 1)]
        for byte in data:
            line += levels(byte, divisor * off)
        items, breaks = receive([*line, (3 * divisor, 1)], divisor)
        assert items == [(byte, 0) for byte in data]
        assert breaks == 0


def test_glitch():
    """A start bit that is over before its middle is none."""
    line = [(20, 1), (3, 0), (20, 1), *levels(0x42, 8), (20, 1)]
    assert receive(line, 8) == ([(0x42, 0)], 0)


def test_stop_bit_missing():
    """The byte is given with an error, and the next one is good."""
    line = [(20, 1), *levels(0x42, 8, stop=0), (20, 1), *levels(0x43, 8), (20, 1)]
    assert receive(line, 8) == ([(0x42, 1), (0x43, 0)], 0)


def test_break():
    """One strobe in each, one damaged byte, and good ones after it."""
    line = [(20, 1), (8 * (BREAK_BITS + 30), 0), (8, 1), *levels(0x42, 8), (20, 1)]
    line += [(8 * (BREAK_BITS + 2), 0), (20, 1)]
    assert receive(line, 8) == ([(0, 1), (0x42, 0), (0, 1)], 2)
    assert receive([(20, 1), (8 * (BREAK_BITS - 2), 0), (20, 1)], 8) == ([(0, 1)], 0)
