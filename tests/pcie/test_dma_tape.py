"""DmaTape: a host sets it up, reads, restarts, breaks and mends it; the tape comes in order."""

from functools import partial

from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.pcie.dma_tape_bench import HostBeside, Plain
from tests.pcie.dma_tape_parts import PARTS, QUICK


def broken(old, new):
    return lambda width: Plain(width, edited(DmaTape, old, new))


class TapeBench(UnitBench):
    """All that a host does, at once and with stalls on all sides."""

    name = "dma tape"
    configs = {f"{width} bits": width for width in (256, 64, 512, 128)}
    cocotb_configs = ("256 bits", "64 bits")
    slow_configs = ("64 bits", "128 bits", "256 bits")  # of two in cocotb, in seconds
    bug_configs = ("256 bits",)
    # The host's own, in its parts: what comes depends on when it has done what.
    stalls = (Stalls(),)
    reset_between = True
    patience = 100_000
    bugs = {
        "not locked while it runs": broken("pages.locked.eq(run | busy)", "pages.locked.eq(busy)"),
        "not locked while something comes": broken(
            "pages.locked.eq(run | busy)", "pages.locked.eq(run)"
        ),
        "blocks not locked": broken(
            "& ~pages.locked):\n                        m.d.sync += blocks",
            "):\n                        m.d.sync += blocks",
        ),
        "another ring": broken("writer.ring.eq(pages.ring)", "writer.ring.eq(0)"),
        "begins while something comes": broken(" & (run | ~busy)", ""),
        "no restart": broken("self.restart | ~run", "~run"),
        "runs without RUN": broken("self.restart | ~run", "self.restart"),
        "reads without a length": broken(" | (self.length == 0)", ""),
        "words after an error": broken(" | reader.errors.any())", ")"),
        "errors are not cleared": broken("reader.clear.eq(request.write)", "reader.clear.eq(0)"),
        "a look clears errors": broken("reader.clear.eq(request.write)", "reader.clear.eq(1)"),
        "never busy": broken("Mux(busy, BUSY, 0)", "0"),
        "not busy with a request": broken("fetch.o_request.valid | pages.busy", "pages.busy"),
        "idle as RUN falls": broken("(ran & ~run) | ", ""),
        "not busy with answers": broken(" | ~reader.idle", ""),
        "not busy with an entry": broken(" | ~writer.idle", ""),
        "longer than is allowed": broken("Mux(self.longest < 2,", "Mux(self.longest > 8,"),
        "shorter than is allowed": broken("Mux(self.longest < 2,", "Mux(self.longest < 4,"),
        "runs on after a reset": broken("with m.If(self.clear):", "with m.If(0):"),
        "the chip sees all": broken(
            "results.i.valid.eq(self.i.valid & ~own)", "results.i.valid.eq(self.i.valid)"
        ),
        "refused for the chip": broken("results.refused & ~own", "results.refused"),
        "answers meet": broken("results.o.ready.eq(0)", "results.o.ready.eq(1)"),
        "no room for results": broken(
            "results.run.eq(run & (pages.ring != 0))", "results.run.eq(0)"
        ),
        "takes results that nobody gets": broken(
            "results.run.eq(run & (pages.ring != 0))", "results.run.eq(pages.ring != 0)"
        ),
        "a ring that nobody gave": broken("Mux(writer.outside, 1 << DmaError.OUTSIDE, 0)", "0"),
        "writes are answered": broken("answers.eq(~request.write)", "answers.eq(1)"),
        "never told what was taken": broken("writer.taken.eq(request.data)", "writer.taken.eq(0)"),
        "asks slowly": broken(
            "connect_stream(m, pages.o_reads, reader.i)",
            "slow = Signal(5)\n        m.d.sync += slow.eq(slow + 1)\n"
            "        m.d.comb += reader.i.payload.eq(pages.o_reads.payload)\n"
            "        m.d.comb += reader.i.valid.eq(pages.o_reads.valid & (slow == 0))\n"
            "        m.d.comb += pages.o_reads.ready.eq(reader.i.ready & (slow == 0))",
        ),
        "no room asked for": broken("fetch.space.eq(self.space)", "fetch.space.eq(200)"),
    }

    def dut(self, width):
        return Plain(width)

    def cases(self, width, rng):
        plays = [(part, False) for part in (*PARTS, *QUICK)] + [(part, True) for part in PARTS]
        for part, stalled in plays:
            yield Case(
                outputs={"o_done": [0]},
                beside=[partial(HostBeside, part, width, int(rng.integers(1 << 32)), stalled)],
                name=f"{part.__name__}{' stalled' * stalled}",
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(TapeBench())
