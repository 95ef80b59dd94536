"""A small unit that can go wrong in every way that the kit has to notice."""

import enum

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import transfers
from sterna_sim.kit import Case, Memory, UnitBench

SUM = data.StructLayout({"sum": 9, "word": signed(8)})
COUNT = 24


class Fault(enum.IntEnum):
    """What goes wrong, chosen by a port: one build serves all."""

    NONE = 0
    WRONG_VALUE = 1
    MISSING_OUTPUT = 2
    EXTRA_OUTPUT = 3
    DROPPED_VALID = 4
    UNSTABLE_PAYLOAD = 5
    WAITS_FOR_READY = 6
    UNREAD_INPUT = 7
    WRONG_WRITE = 8
    WRONG_COUNT = 9
    SLOW = 10
    IGNORES_VALID = 11
    KEEPS_STATE = 12


class Adder(Component):
    """Add a and b, look the sum's low bits up, write the sum back: three clocks an item."""

    a: In(stream.Signature(8))
    b: In(stream.Signature(8))
    o: Out(stream.Signature(SUM))
    read_addr: Out(4)
    read_data: In(signed(8))
    write_en: Out(1)
    write_addr: Out(4)
    write_data: Out(signed(8))
    count: Out(8)
    fault: In(4)

    def elaborate(self, platform):
        m = Module()
        taken, given = Signal(8), Signal(8, reset_less=True)
        stalled, total = Signal(), Signal(9)
        m.d.sync += stalled.eq(self.o.valid & ~self.o.ready)
        m.d.comb += self.o.payload.sum.eq(
            total
            + ((self.fault == Fault.WRONG_VALUE) & (taken == 9))
            + ((self.fault == Fault.UNSTABLE_PAYLOAD) & stalled)
            + ((self.fault == Fault.KEEPS_STATE) & (taken != (given + 1)[:8]))
        )
        m.d.comb += self.count.eq(taken + (self.fault == Fault.WRONG_COUNT))
        both = self.a.valid & (self.b.valid | (self.fault == Fault.IGNORES_VALID))
        closed = (self.fault == Fault.UNREAD_INPUT) & (taken == COUNT - 1)

        with m.FSM(name="steps"):
            with m.State("TAKE"):
                m.d.comb += self.a.ready.eq(both & ~closed)
                m.d.comb += self.b.ready.eq(both & ~closed)
                m.d.comb += self.read_addr.eq(self.a.payload + self.b.payload)
                with m.If(both & ~closed):
                    m.d.sync += [total.eq(self.a.payload + self.b.payload), taken.eq(taken + 1)]
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += self.o.payload.word.eq(self.read_data)
                m.next = "SLOW"
                with m.If(self.fault != Fault.SLOW):
                    m.next = "GIVE"
                with m.If((self.fault == Fault.MISSING_OUTPUT) & (taken == COUNT)):
                    m.next = "TAKE"
            with m.State("SLOW"):
                m.next = "GIVE"
            with m.State("GIVE"):
                dropped = (self.fault == Fault.DROPPED_VALID) & stalled
                waits = (self.fault == Fault.WAITS_FOR_READY) & ~self.o.ready
                m.d.comb += self.o.valid.eq(~dropped & ~waits)
                with m.If(transfers(self.o)):
                    m.d.comb += self.write_en.eq(1)
                    m.d.comb += self.write_addr.eq(
                        Mux(self.fault == Fault.WRONG_WRITE, total + 1, total)
                    )
                    m.d.comb += self.write_data.eq(total[1:])
                    m.d.sync += given.eq(given + 1)
                    m.next = "TAKE"
                    with m.If((self.fault == Fault.EXTRA_OUTPUT) & (taken == COUNT)):
                        m.next = "GIVE"
        return m


class AdderBench(UnitBench):
    """The configuration is the fault; the expected values are always those of the good unit."""

    name = "adder"
    configs = {fault.name: fault for fault in Fault}
    not_stalled = {"a": "ready waits for both inputs", "b": "ready waits for both inputs"}
    patience = 400

    def dut(self, config):
        return Adder()

    def cases(self, config, rng):
        words = rng.integers(-128, 128, 16)
        a, b = rng.integers(0, 256, (2, COUNT))
        table, sums = list(words), []
        for total in a + b:
            sums.append({"sum": total, "word": table[total % 16]})
            table[total % 16] = (total // 2 + 128) % 256 - 128
        memory = Memory(
            words,
            reads=[("read_addr", "read_data")],
            writes=[("write_en", "write_addr", "write_data")],
            expected=table,
        )
        yield Case(
            {"a": a, "b": b},
            {"o": sums},
            constants={"fault": int(config)},
            finals={"count": COUNT},
            memories=[memory],
            clocks=3 * COUNT,
            name="sums",
        )
