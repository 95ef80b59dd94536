"""AxiLite: accesses in the order in which they were given, and cocotbext-axi's master on top."""

import tempfile
from pathlib import Path

import pytest

from sterna.model.layout import fit
from sterna_rtl.axi4_chip import Axi4Chip
from sterna_rtl.chip import memory_ports
from sterna_rtl.link.axi_lite import ADDRESS_BITS, AxiLite
from sterna_sim.kit import (
    Case,
    StreamContract,
    UnitBench,
    bench_tests,
    build,
    check_contract,
    edited,
    run_module,
    to_verilog,
)
from sterna_sim.kit.bench import default_seed
from tests.chip.models import MEMORY_CONFIGS, model_of
from tests.pcie.tops import CLOCK_HZ, RegistersAlone


def broken(old, new):
    return lambda config: edited(AxiLite, old, new)()


def access(write, address, data=0, strobes=15):
    return {"write": write, "address": address >> 2, "data": data, "bytes": strobes, "damaged": 0}


class AxiLiteBench(UnitBench):
    """Reads alone and writes alone: which of both comes first depends on the stalls."""

    name = "axi-lite"
    configs = {"only": None}
    bugs = {
        "strobes left out": broken(
            "access.bytes.eq(self.w.payload.strobes)", "access.bytes.eq(-1)"
        ),
        "address of the byte": broken("self.aw.payload[2:]", "self.aw.payload"),
        "data of the write before": broken(
            "self.w.ready.eq(writes)", "self.w.ready.eq(writes | ~self.aw.valid)"
        ),
        "written twice": broken("self.aw.ready.eq(writes)", "self.aw.ready.eq(writes & ~wrote)"),
        "no response": broken("self.b.valid.eq(1),", "self.b.valid.eq(~wrote),"),
        "response lost": broken("& can_load(self.b)", ""),
        "one read for all": broken("self.ar.ready.eq(reads)", "self.ar.ready.eq(1)"),
        "words dropped": broken("self.i.ready.eq(self.r.ready)", "self.i.ready.eq(1)"),
    }
    not_stalled = dict.fromkeys(("aw", "w", "ar"), "an access is taken once all of it is there")

    def dut(self, config):
        return AxiLite()

    def cases(self, config, rng):
        places = rng.integers(0, 1 << ADDRESS_BITS, 60).tolist()
        words = rng.integers(0, 1 << 32, 60).tolist()
        strobes = rng.integers(0, 16, 60).tolist()
        beats = [{"data": w, "strobes": s} for w, s in zip(words, strobes, strict=True)]
        # What a read writes is anything: here what stands there from the start.
        reads = [access(0, place) for place in places]
        given = [{"data": word, "response": 0} for word in words]
        yield Case({"ar": places, "i": words}, {"o": reads, "r": given}, name="reads")
        writes = [access(1, *of) for of in zip(places, words, strobes, strict=True)]
        yield Case({"aw": places, "w": beats}, {"o": writes, "b": [0] * 60}, name="writes")


test_pysim, test_cocotb, test_planted_bugs = bench_tests(AxiLiteBench())


def run(slave=AxiLite):
    """Run the tests of `axi_lite_module` on the chip's ports with the registers alone behind."""
    config = fit(model_of("fixture-a"), **MEMORY_CONFIGS["axi4"])
    top = Axi4Chip(config, CLOCK_HZ)
    top.chip, top.slave = RegistersAlone(**memory_ports(config)), slave()
    seed = default_seed()
    folder = build(to_verilog(top))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        environment = {"STERNA_SEED": str(seed), "COCOTB_LOG_LEVEL": "WARNING"}
        name = "tests.link.axi_lite_module"
        tests, failed, said = run_module(folder, Path(place), name, environment, seed)
    print(f"seed {seed}\n{said}")
    return tests, failed


def test_master():
    assert run() == (2, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("~(may_read & wrote)", "~may_read"),  # writes wait for ever
        (" & ~(may_read & wrote)", ""),  # reads do
    ],
)
def test_master_finds(old, new):
    tests, failed = run(edited(AxiLite, old, new))
    assert tests == 2
    assert failed > 0


def test_contract():
    contract = StreamContract(combinational=True)
    bugs = {"gives up": lambda: edited(AxiLite, "with m.If(transfers(self.o)):", "with m.If(1):")()}
    check_contract(AxiLite, contract, bugs)
