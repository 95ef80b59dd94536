"""UART: bytes from one end to the other, other speeds, glitches, breaks."""

from functools import partial

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.uart import BREAK_BITS, RECEIVED, UartReceiver, UartTransmitter
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from sterna_sim.kit.player import CheckError


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


class Line:
    """Levels at a receiver's pin, a pair of length in clocks and level; and what comes when.

    `starts` are the clocks on which the start bits of what is heard begin.
    """

    def __init__(self, line, divisor, starts):
        self.levels = [level for length, level in line for _ in range(length)]
        self.at = 0
        # In the middle of the stop bit, behind the synchronizer; a break a clock more for each bit.
        self.bytes = [start + divisor // 2 + 9 * divisor + 3 for start in starts]
        self.breaks, at = [], 0
        for length, level in line:
            if not level and length > BREAK_BITS * (divisor + 1):
                self.breaks.append(at + BREAK_BITS * (divisor + 1) + 2)
            at += length
        self.seen = [], []

    def drive(self, engine):
        engine.write("rx", self.levels[self.at] if self.at < len(self.levels) else 1)
        self.at += 1

    def sample(self, engine):
        for name, clocks in zip(("comes", "line_break"), self.seen, strict=True):
            if engine.read(name):
                clocks.append(self.at - 1)

    def check(self):
        if self.seen != (self.bytes, self.breaks):
            raise CheckError(
                "bytes or breaks at other times",
                expected=str((self.bytes, self.breaks)),
                got=str(self.seen),
            )


class Hears(Component):
    """A receiver whose bytes wait."""

    def __init__(self, receiver) -> None:
        self.receiver = receiver
        pins = {"rx": In(1), "divisor": In(16), "line_break": Out(1), "comes": Out(1)}
        super().__init__({**pins, "o": Out(stream.Signature(RECEIVED))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = self.receiver
        m.submodules.queue = queue = Queue(RECEIVED, 100)
        connect_stream(m, receiver.o, queue.i)
        connect_stream(m, queue.o, self.o)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            receiver.divisor.eq(self.divisor),
            self.line_break.eq(receiver.line_break),
            self.comes.eq(receiver.o.valid),
        ]
        return m


def hears(old, new):
    return lambda divisor: Hears(edited(UartReceiver, old, new)())


class ReceiverBench(UnitBench):
    """Bytes among all that a line can do: glitches, stop bits that are missing, breaks."""

    name = "uart-receiver"
    configs = {"divisor-4": 4, "divisor-7": 7}
    bugs = {
        "a low stop bit is none": hears("payload.error.eq(~rx)", "payload.error.eq(0)"),
        "a byte begins while the line is low": hears(
            'm.State("HIGH"), m.If(rx)', 'm.State("HIGH"), m.If(1)'
        ),
        "a glitch begins a byte": hears(
            "with m.If(rx):\n                        m.next",
            "with m.If(0):\n                        m.next",
        ),
        "a break is told for ever": hears("low_bits + (low_bits != BREAK_BITS)", "low_bits + 1"),
        "low bits of two breaks add up": hears(
            "low_clocks.eq(0), low_bits.eq(0)]", "low_clocks.eq(0)]"
        ),
    }
    bug_configs = ("divisor-4",)
    not_stalled = {"o": "a queue takes what comes"}
    patience = 3000

    def dut(self, config):
        return Hears(UartReceiver())

    def cases(self, config, rng):
        def pause():
            return (int(rng.integers(config, 4 * config)), 1)

        line, heard, breaks, starts = [(20, 1)], [], 0, []

        def begin():
            starts.append(sum(length for length, _ in line))

        for byte in (0, 255, 0x55, *rng.integers(0, 256, 12).tolist()):
            match rng.integers(4):
                case 0:
                    line += [(config // 2 - 1, 0), pause()]
                case 1:
                    low = int(rng.integers(1, 5 * config))
                    begin()
                    line += [*levels(byte, config, stop=0), (low, 0), pause()]
                    heard.append({"data": byte, "error": 1})
                case 2:
                    begin()
                    # A bit of it counts once it is over: a clock more. The first is a long one.
                    more = int(rng.integers(3, 99)) if breaks else 60 * config
                    line += [(BREAK_BITS * (config + 1) + more, 0), pause()]
                    heard.append({"data": 0, "error": 1})
                    breaks += 1
                case _:
                    begin()
                    line += [((BREAK_BITS - 2) * config, 0), pause()]
                    heard.append({"data": 0, "error": 1})
            begin()
            # A stop bit of a sender that is fast is over soon after its middle.
            stop = config // 2 + 1 if rng.random() < 0.3 else config
            line += [*levels(byte, config)[:-1], (stop, 1)]
            if stop == config:
                line.append((int(rng.integers(0, 3)), 1))
            heard.append({"data": byte, "error": 0})
        beside = [partial(Line, line, config, starts)]
        yield Case({}, {"o": heard}, {"divisor": config}, beside=beside)


class LongBitsBench(ReceiverBench):
    """A break and a byte of bits that are so long that the counts of clocks fill."""

    name = "uart-receiver-long"
    stalls = (Stalls(),)
    patience = 400_000
    slow_configs = ("divisor-4", "divisor-7")
    reset_test = False
    cocotb_configs = ()

    def cases(self, config, rng):
        yield self.long(0x3A5B + config, rng, breaks=True)
        # Half a bit, less one, is odd.
        yield self.long(0x3F00, rng, breaks=False)

    def long(self, divisor, rng, breaks):
        byte = int(rng.integers(256))
        low = (BREAK_BITS * (divisor + 1) + 3, 0)
        line = [(divisor, 1), low, (divisor, 1)] if breaks else [(divisor, 1)]
        starts = [divisor, sum(length for length, _ in line)] if breaks else [divisor]
        heard = [{"data": 0, "error": 1}] if breaks else []
        line += levels(byte, divisor)
        heard.append({"data": byte, "error": 0})
        beside = [partial(Line, line, divisor, starts)]
        return Case({}, {"o": heard}, {"divisor": divisor}, beside=beside)


test_receiver, test_receiver_cocotb, test_receiver_bugs = bench_tests(ReceiverBench())
test_long_bits, _, _ = bench_tests(LongBitsBench())


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
