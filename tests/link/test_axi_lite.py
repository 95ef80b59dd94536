"""AxiLite: accesses in the order in which they were given, and cocotbext-axi's master on top."""

import tempfile
from pathlib import Path

import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib.wiring import Component, Out

from sterna.model.layout import fit
from sterna_rtl.axi4_chip import Axi4Chip
from sterna_rtl.chip import memory_ports
from sterna_rtl.lib.stream import can_load, connect_stream, transfers
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


class Parted(Component):
    """The slave, its accesses parted into reads and writes.

    Which of both comes first depends on the stalls, but the order within each kind does not.
    `unfair` goes up if one kind goes twice while the other could.
    """

    def __init__(self, slave) -> None:
        self.slave = slave
        ports = dict(slave.signature.members.items())
        ports["reads"] = ports["writes"] = ports.pop("o")
        super().__init__({**ports, "unfair": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.slave = slave = self.slave
        for name in ("aw", "w", "ar", "i"):
            connect_stream(m, getattr(self, name), getattr(slave, name))
        for name in ("b", "r"):
            connect_stream(m, getattr(slave, name), getattr(self, name))
        is_write = slave.o.payload.write
        m.d.comb += slave.o.ready.eq(Mux(is_write, self.writes.ready, self.reads.ready))
        for part, shown in ((self.reads, ~is_write), (self.writes, is_write)):
            m.d.comb += [part.payload.eq(slave.o.payload), part.valid.eq(slave.o.valid & shown)]
        # What a read would write is anything.
        m.d.comb += self.reads.payload.data.eq(0)
        read, wrote = transfers(self.ar), transfers(self.aw)
        both = self.ar.valid & self.aw.valid & self.w.valid & can_load(self.b)
        last_read, last_wrote = Signal(), Signal()
        with m.If(read | wrote):
            m.d.sync += [last_read.eq(read), last_wrote.eq(wrote)]
        with m.If(both & ((read & last_read) | (wrote & last_wrote))):
            m.d.sync += self.unfair.eq(1)
        return m


def broken(old, new):
    return lambda config: Parted(edited(AxiLite, old, new)())


def access(write, address, data=0, strobes=15):
    return {"write": write, "address": address >> 2, "data": data, "bytes": strobes, "damaged": 0}


class AxiLiteBench(UnitBench):
    """Reads alone, writes alone, and both at once; an access on every clock, in turns."""

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
        "both at once": broken("may_read & ~writes", "may_read"),
        "writes first": broken(" & ~(may_read & wrote)", ""),
        "reads first": broken("~(may_read & wrote)", "~may_read"),
        "an access every other clock": broken(
            "reads.eq(can_load(self.o)", "reads.eq(~self.o.valid"
        ),
    }
    not_stalled = dict.fromkeys(("aw", "w", "ar"), "an access is taken once all of it is there")

    def dut(self, config):
        return Parted(AxiLite())

    def cases(self, config, rng):
        places = rng.integers(0, 1 << ADDRESS_BITS, 60).tolist()
        words = rng.integers(0, 1 << 32, 60).tolist()
        strobes = rng.integers(0, 16, 60).tolist()
        beats = [{"data": w, "strobes": s} for w, s in zip(words, strobes, strict=True)]
        reads = [access(0, place) for place in places]
        given = [{"data": word, "response": 0} for word in words]
        read = {"ar": places, "i": words}, {"reads": reads, "r": given}
        yield Case(*read, finals={"unfair": 0}, clocks=61, name="reads")
        writes = [access(1, *of) for of in zip(places, words, strobes, strict=True)]
        write = {"aw": places, "w": beats}, {"writes": writes, "b": [0] * 60}
        yield Case(*write, finals={"unfair": 0}, clocks=61, name="writes")
        both = (write[n] | read[n] for n in range(2))
        yield Case(*both, finals={"unfair": 0}, clocks=121, name="both")


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
