"""ResultReader: results come by themselves, and the host's requests do not notice."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from sterna.spec.dma import RESULTS
from sterna.spec.registers import REGISTERS, VALID
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.pcie.results import RESULT, ResultReader
from sterna_sim.kit import Case, UnitBench, bench_tests, edited

ADDRESSES = [REGISTERS[name].address for name in RESULTS]
FULL = 200  # a register that refuses what is written


class Chip(wiring.Component):
    """The unit before a chip that is slow now and then, whose queues hold `count` results each.

    Other registers read as three times their number. `seen` adds up what was written, `refused`
    counts refusals, and `asked` requests that were neither the host's nor reads of results.
    """

    def __init__(self, unit=ResultReader):
        self.unit = unit()
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST)),
                "o": Out(stream.Signature(32)),
                "o_result": Out(stream.Signature(RESULT)),
                "run": In(1),
                "count": In(8),
                "seen": Out(32),
                "refused": Out(8),
                "asked": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i, unit.i)
        connect_stream(m, unit.o, self.o)
        connect_stream(m, unit.o_result, self.o_result)
        asked, answer, age = unit.o_request, unit.i_answer, Signal(5)
        full = asked.payload.write & (asked.payload.address == FULL)
        m.d.sync += age.eq(age + 5)
        m.d.comb += [
            unit.run.eq(self.run),
            asked.ready.eq(~answer.valid & (age[3:] != 1)),
            unit.i_refused.eq(transfers(asked) & full),
        ]
        with m.If(transfers(answer)):
            m.d.sync += answer.valid.eq(0)
        with m.If(unit.refused & transfers(unit.i)):
            m.d.sync += self.refused.eq(self.refused + 1)
        with m.If(transfers(asked) & asked.payload.write & ~full):
            m.d.sync += self.seen.eq(self.seen + asked.payload.data)
        with m.If(transfers(asked) & ~asked.payload.write):
            m.d.sync += [answer.valid.eq(1), answer.payload.eq(asked.payload.address * 3)]
            with m.If(
                ~transfers(unit.i) & ~Cat(asked.payload.address == n for n in ADDRESSES).any()
            ):
                m.d.sync += self.asked.eq(1)
            for address in ADDRESSES:
                given = Signal(8, name=f"given_{address}")
                with m.If(asked.payload.address == address):
                    word = VALID | address << 8 | given
                    m.d.sync += answer.payload.eq(Mux(given == self.count, 77, word))
                    m.d.sync += given.eq(given + (given != self.count))
        return m


def broken(old, new):
    return lambda _config: Chip(edited(ResultReader, old, new))


class ResultBench(UnitBench):
    """The host reads and writes other registers while results are there, and while none are."""

    name = "results"
    cocotb_configs = ("default",)
    reset_between = True
    not_stalled = {"i": "the chip is slower", "o": "one answer at a time", "o_result": "slow"}
    bugs = {
        "takes the host's answers": broken("with m.If(transfers(self.i) & ~self.i.payload.write):",
            "with m.If(0):"),
        "waits for an answer to a write": broken(
            "with m.If(transfers(self.i) & ~self.i.payload.write):",
            "with m.If(transfers(self.i)):"),
        "writes": broken("asked.payload.write.eq(0)", "asked.payload.write.eq(1)"),
        "asks what the host asks": broken("asked.payload.address.eq(address)",
            "asked.payload.address.eq(self.i.payload.address)"),
        "refusals are lost": broken("self.refused.eq(self.i_refused)", "self.refused.eq(0)"),
        "one queue only": broken("0, turn + 1))", "turn, turn))"),
        "nothing for a result": broken("result.valid.eq(there)", "result.valid.eq(1)"),
        "results are lost": broken("& self.run & ~result.valid", "& self.run"),
        "runs by itself": broken("& self.run & ~result.valid", "& ~result.valid"),
        "another's number": broken("result.payload.register.eq(address)",
            "result.payload.register.eq(address + 1)"),
    }  # fmt: skip

    def dut(self, config):
        return Chip()

    def cases(self, config, rng):
        for name, count, run, length in (
            ("both", 9, 1, 40),
            ("nothing", 5, 0, 12),
            ("alone", 7, 1, 0),
        ):
            requests, answers, seen, refused = [], [], 0, 0
            for _ in range(length):
                write, data = int(rng.integers(2)), int(rng.integers(1 << 20))
                address = FULL if write and rng.integers(4) == 0 else int(rng.integers(60, 199))
                requests.append({"write": write, "address": address, "data": data})
                refused += address == FULL
                seen += data if write and address != FULL else 0
                answers += [] if write else [3 * address]
            results = [
                {"word": VALID | address << 8 | n, "register": address}
                for address in ADDRESSES
                for n in range(count * run)
            ]
            yield Case(
                {"i": requests},
                {"o": answers, "o_result": results},
                {"run": run, "count": count},
                {"seen": seen, "refused": refused, "asked": 0},
                clocks=5 * len(results) + 20 if name == "alone" else None,
                name=name,
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ResultBench())


def test_a_chip_that_is_reset():
    """What it was asked, by the unit or the host, is not waited for any more."""
    unit = ResultReader()
    simulator = Simulator(unit)
    simulator.add_clock(1e-8)

    async def testbench(ctx):
        async def clear():
            ctx.set(unit.clear, 1)
            await ctx.tick()
            ctx.set(unit.clear, 0)

        ctx.set(unit.run, 1)
        await ctx.tick()
        for ready in (0, 1):  # not even taken; taken, but not answered
            assert ctx.get(unit.o_request.valid)
            ctx.set(unit.o_request.ready, ready)
            await ctx.tick()
            ctx.set(unit.o_request.ready, 0)
            ctx.set(unit.run, 0)
            await clear()
            await ctx.tick()
            assert not ctx.get(unit.o_request.valid)
            ctx.set(unit.run, 1)
            await ctx.tick()
        ctx.set(unit.run, 0)
        await clear()
        ctx.set(unit.i.valid, 1)
        ctx.set(unit.o_request.ready, 1)
        await ctx.tick()
        ctx.set(unit.i.valid, 0)
        await clear()
        ctx.set(unit.i.valid, 1)
        assert ctx.get(unit.o_request.valid)

    simulator.add_testbench(testbench)
    simulator.run()
