"""Epilogue: equal to the golden functions, as fast as it says, and true to the stream contract."""

import pytest
from amaranth import *
from amaranth.lib.wiring import Component
from amaranth.sim import Simulator

from sterna.spec.program import Op
from sterna_rtl.arith.lane import Lane
from sterna_rtl.datapath.epilogue import Epilogue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import StreamContract, bench_tests, check_contract, edited
from tests.datapath.bench_epilogue import EpilogueBench, LongBench, ManyBench, chip

test_pysim, _, test_planted_bugs = bench_tests(EpilogueBench())
_, test_cocotb, _ = bench_tests(LongBench())
_, test_many, _ = bench_tests(ManyBench())

LATENCY = {
    Op.EMBED: 7,
    Op.RESIDUAL: 7,
    Op.LOGITS: 6,
    Op.PRODUCT: 10,
    Op.GATE: 14,
    Op.SILU: 16,
    Op.STATE: 19,
}
"""As the docstring says: clocks from a beat to its write, LOGITS to the output."""
WORDS = 4


@pytest.mark.parametrize("slots, max_columns, more", [(1, 768, 0), (1, 1 << 16, 1), (3, 768, 0)])
@pytest.mark.parametrize("op", list(Op))
def test_latency(op, slots, max_columns, more):
    unit = Epilogue(chip(1, 3, 1, words=WORDS, max_columns=max_columns, slots=slots))
    beats, writes = events(unit, op, segments=2)
    assert beats[:WORDS] == list(range(beats[0], beats[0] + WORDS))
    assert writes == [beat + LATENCY[op] + more for beat in beats]
    # The last logit is one clock ahead at the queue's input.
    assert beats[WORDS] == writes[WORDS - 1] - (op is Op.LOGITS) + 2


def events(unit, op, segments):
    """Run segments whose inputs wait; return the clocks of their beats and of their writes."""
    m = Module()
    m.submodules.unit = unit
    beat, last, write = Signal(), Signal(), Signal()
    enables = (unit.residual_write, unit.scratch_write, unit.state_write)
    number = Signal(range(WORDS))
    m.d.comb += [
        beat.eq(transfers(unit.i_sums) | transfers(unit.i_embedding)),
        last.eq(number == WORDS - 1),
        unit.i_sums.payload.last.eq(last),
        write.eq(Cat(port.enable for port in enables).any() | unit.o_logits.valid),
    ]
    m.d.sync += number.eq(number + beat)
    clocks = {"beats": [], "writes": [], "results": []}

    async def testbench(ctx):
        ctx.set(unit.i_job.payload, {"op": op, "rows": WORDS})
        for port in (unit.i_job, unit.i_scale, unit.i_sums, unit.i_embedding):
            ctx.set(port.valid, 1)
        for port in (unit.o_norms, unit.o_results, unit.o_logits):
            ctx.set(port.ready, 1)
        for clock in range(100):
            values = {"beats": beat, "writes": write, "results": unit.o_results.valid}
            for name, signal in values.items():
                if ctx.get(signal):
                    clocks[name].append(clock)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    count = segments * WORDS
    assert clocks["results"] == (clocks["writes"] if op.gathers else [])
    return clocks["beats"][:count], clocks["writes"][:count]


class Delay(Lane):
    """A lane without its arithmetic, which the contract does not depend on: y is the sum."""

    def elaborate(self, platform):
        m = Module()
        line = Signal(16 * self.y_latency)
        m.d.sync += line.eq(Cat(self.sum[:16], line))
        m.d.comb += self.y.eq(line[-16:])
        return m


class WithQuantizer(Component):
    """The epilogue's control, and a quantizer that is always ready."""

    def __init__(self, epilogue):
        self.unit = epilogue(chip(1, 1, 1, words=2, max_columns=1))
        self.unit.lanes = [Delay(self.unit.config)]
        super().__init__(
            {
                name: member
                for name, member in self.unit.signature.members.items()
                if name.startswith("i_") or name == "o_logits"
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        for name in ("i_job", "i_scale", "i_sums", "i_embedding"):
            connect_stream(m, getattr(self, name), getattr(unit, name))
        connect_stream(m, unit.o_logits, self.o_logits)
        m.d.comb += [unit.o_norms.ready.eq(1), unit.o_results.ready.eq(1)]
        return m


def test_contract():
    contract = StreamContract(items_in=1, input="i_sums", output="o_logits", depth=14)
    held = "connect_stream(m, queue.o, self.o_logits)"
    not_held = (
        "m.d.comb += [self.o_logits.valid.eq(queue.i.valid),"
        " self.o_logits.payload.eq(queue.i.payload)]"
    )
    valid = "control.operation.logits & control.valid[clock]"
    bugs = {
        "logits not held": edited(Epilogue, held, not_held),
        "logits of an embedding": edited(Epilogue, valid, "control.valid[clock]"),
    }
    check_contract(
        lambda: WithQuantizer(Epilogue),
        contract,
        {name: lambda bug=bug: WithQuantizer(bug) for name, bug in bugs.items()},
    )
