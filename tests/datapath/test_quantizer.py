"""Quantizer: equal to the golden functions, as fast as it says, and true to the stream contract."""

# amaranth: UnusedElaboratable=no

import pytest
from amaranth.sim import Simulator

from sterna.spec.program import Stats
from sterna_rtl.datapath.quantizer import Quantizer
from sterna_sim.kit import StreamContract, bench_tests, check_contract, edited
from tests.datapath.bench_quantizer import DeepBench, ManyBench, QuantizerBench, WideBench, chip

test_pysim, _, test_planted_bugs = bench_tests(QuantizerBench())
test_pysim_wide, test_cocotb, _ = bench_tests(WideBench())
_, test_many, _ = bench_tests(ManyBench())
test_pysim_deep, _, test_deep_planted_bugs = bench_tests(DeepBench())


def test_contract():
    """Outputs hold."""
    config = chip(1, 1, words=2)
    reads = "residual_read", "scratch_read", "vector_a_read", "vector_b_read"
    contract = StreamContract(
        free=tuple(f"{name}__data" for name in reads), depth=14, induction=2, covers=1
    )
    bug = (
        "connect_stream(m, queue.o, self.o_activations)",
        "m.d.comb += [self.o_activations.valid.eq(queue.i.valid), queue.o.ready.eq(1)]",
    )
    bugs = {"no queue": lambda: edited(Quantizer, *bug)(config)}
    check_contract(lambda: Quantizer(config), contract, bugs)


@pytest.mark.parametrize("rows, ahead", [(2, 8), (4, 17)])
def test_read_ahead(rows, ahead):
    """So many reads go ahead of an engine that takes nothing: more if R > E."""
    unit = Quantizer(chip(2, 2, words=20, rows=rows))

    async def bench(ctx):
        ctx.set(unit.i_job.valid, 1)
        ctx.set(unit.i_job.payload.stats, Stats.KEEP)
        ctx.set(unit.i_job.payload.blocks, 20)
        ctx.set(unit.i_job.payload.source_words, 20)
        await ctx.tick().repeat(60)
        assert ctx.get(unit.vector_b_read.address) == ahead == unit.read_ahead

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
