"""DmaTape: a host sets it up, reads, restarts, breaks and mends it; the tape comes in order."""

import pytest
from amaranth.sim import Simulator

from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_sim.kit import edited
from sterna_sim.kit.ports import Ports
from sterna_sim.kit.pysim import PysimEngine
from tests.pcie.dma_tape_bench import CONFIG, PATIENCE, WIDTH, Bench, scenario
from tests.pcie.test_root_complex import run


def play(width, unit=DmaTape):
    """Play the scenario on a unit."""
    dut = unit(CONFIG, width, PATIENCE)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def testbench(ctx):
        await scenario(Bench(PysimEngine(ctx, Ports.of(dut).signals), width))

    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("width", [64, 256, 512, pytest.param(128, marks=pytest.mark.slow)])
def test_pysim(width):
    play(width)


def test_cocotb():
    """The same on its Verilog."""
    tests, failed, said = run(DmaTape(CONFIG, WIDTH, PATIENCE), "tests.pcie.dma_tape_module")
    assert (tests, failed) == (1, 0), said


BUGS = {
    "not locked while it runs": ("pages.locked.eq(run | busy)", "pages.locked.eq(busy)"),
    "not locked while something comes": ("pages.locked.eq(run | busy)", "pages.locked.eq(run)"),
    "blocks not locked": ("& ~pages.locked):\n                        m.d.sync += blocks",
        "):\n                        m.d.sync += blocks"),
    "another ring": ("writer.ring.eq(pages.ring)", "writer.ring.eq(0)"),
    "begins while something comes": (" & (run | ~busy)", ""),
    "no restart": ("self.restart | ~run", "~run"),
    "runs without RUN": ("self.restart | ~run", "self.restart"),
    "reads without a length": (" | (self.length == 0)", ""),
    "words after an error": (" | reader.errors.any())", ")"),
    "errors are not cleared": ("reader.clear.eq(request.write)", "reader.clear.eq(0)"),
    "never busy": ("Mux(busy, BUSY, 0)", "0"),
    "longer than is allowed": ("Mux(self.longest < 2,", "Mux(self.longest > 8,"),
    "runs on after a reset": ("with m.If(self.clear):", "with m.If(0):"),
    "the chip sees all": ("results.i.valid.eq(self.i.valid & ~own)",
        "results.i.valid.eq(self.i.valid)"),
    "answers meet": ("results.o.ready.eq(0)", "results.o.ready.eq(1)"),
    "no room for results": ("results.run.eq(run & (pages.ring != 0))", "results.run.eq(0)"),
    "a ring that nobody gave": ("Mux(writer.outside, 1 << DmaError.OUTSIDE, 0)", "0"),
    "writes are answered": ("answers.eq(~request.write)", "answers.eq(1)"),
    "asks slowly": ("connect_stream(m, pages.o_reads, reader.i)",
        "slow = Signal(5)\n        m.d.sync += slow.eq(slow + 1)\n"
        "        m.d.comb += reader.i.payload.eq(pages.o_reads.payload)\n"
        "        m.d.comb += reader.i.valid.eq(pages.o_reads.valid & (slow == 0))\n"
        "        m.d.comb += pages.o_reads.ready.eq(reader.i.ready & (slow == 0))"),
    "no room asked for": ("fetch.space.eq(self.space)", "fetch.space.eq(200)"),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs(bug):
    with pytest.raises(AssertionError) as found:
        play(WIDTH, edited(DmaTape, *BUGS[bug]))
    print(f"planted bug {bug!r} found: {found.value}")
