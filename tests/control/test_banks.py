"""Banks: every word through every port, and whose address a shared port follows."""

from dataclasses import replace

import numpy as np
from amaranth import Module, Value
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, connect, flipped

from sterna_rtl.control.banks import Banks
from sterna_rtl.lib.delay import delay_line
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.control.chips import chip
from tests.control.clocked import Clocked

READERS = {
    "residual": ("epilogue_residual_read", "quantizer_residual_read"),
    "scratch": ("epilogue_scratch_read", "quantizer_scratch_read"),
    "state": ("epilogue_state_read", "loader_state_read"),
    "vector_a": (
        "quantizer_vector_a_read",
        "epilogue_vector_read",
        "embedding_vector_read",
        "loader_vector_a_read",
    ),
    "vector_b": ("quantizer_vector_b_read", "loader_vector_b_read"),
}
WRITERS = {
    "residual": ("epilogue_residual_write",),
    "scratch": ("epilogue_scratch_write",),
    "state": ("epilogue_state_write", "loader_state"),
    "vector_a": ("loader_vector_a",),
    "vector_b": ("loader_vector_b",),
}
SELECTS = ("host", "embedding_reads", "epilogue_reads")


def followed(ram, port, item):
    """Port whose address the data on `port` belongs to."""
    if ram in ("state", "vector_b"):
        return READERS[ram][item["host"]]
    if ram == "vector_a" and item["host"]:
        return READERS[ram][3]
    if ram == "vector_a":
        return READERS[ram][2 if item["embedding_reads"] else item["epilogue_reads"]]
    return port


def random_word(rng, shape):
    assert isinstance(shape, ArrayLayout)
    bits, signed = shape.elem_shape.width, shape.elem_shape.signed
    low = -(1 << bits - 1) if signed else 0
    return [int(value) for value in rng.integers(low, low + (1 << bits), shape.length)]


def aligned(config, unit=Banks):
    return Clocked(Aligned(unit(config), config.side_clocks), config.side_clocks)


def broken(old, new):
    return lambda config: aligned(config, edited(Banks, old, new))


class Aligned(Component):
    """All data as many clocks after their addresses as those of the side RAMs are."""

    def __init__(self, banks, clocks):
        self.banks, self.clocks = banks, clocks
        super().__init__(banks.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.banks = banks = self.banks
        for name, member in banks.signature.members.items():
            outer, inner = getattr(self, name), getattr(banks, name)
            if member.is_port:
                m.d.comb += inner.eq(outer)
            elif "enable" in member.signature.members:
                connect(m, flipped(outer), inner)
            else:
                m.d.comb += inner.address.eq(outer.address)
                data, clocks = Value.cast(inner.data), 0 if "vector" in name else self.clocks - 1
                m.d.comb += Value.cast(outer.data).eq(delay_line(m, data, clocks, name)[-1])
        return m


class BanksBench(UnitBench):
    """An item is one clock of all ports. First every word is written, then reads are compared."""

    name = "banks"
    stalls = (Stalls(), Stalls("random", "random"))
    configs = {
        **{f"E-{elements}": chip(elements=elements) for elements in (8, 1, 2)},
        "2-slots": chip(elements=2, slots=2),
        "3-slots": chip(elements=1, slots=3),
        "rows": chip(elements=1, words=25),
        "deep": replace(chip(elements=2), vector_a_words=70, vector_b_words=2100),
    }
    cocotb_configs = ("E-1", "3-slots")
    bugs = {
        "products go to the residual's bank": broken(
            'f"epilogue_{name}_write"', '"epilogue_residual_write"'
        ),
        "writes always": broken("ram.write.enable.eq(enable)", "ram.write.enable.eq(1)"),
        "loader never writes the state": broken("enable | other.enable", "enable"),
        "loader's data at the epilogue's address": broken(
            "Mux(other.enable, other.address, address)", "address"
        ),
        "host not looked at": broken("(self.host, self.loader_state", "(0, self.loader_state"),
        "embedding's side RAM to the epilogue": broken(
            "(self.embedding_reads, self.embedding_vector_read)",
            "(self.embedding_reads & ~self.epilogue_reads, self.embedding_vector_read)",
        ),
        "lower bounds at the quantizer's address": broken("(self.epilogue_reads, self", "(0, self"),
        "all slots share their words": broken(
            "ram = Bank(*self.rams[name], form)",
            "ram = Bank(max(1, self.rams[name][0] // 3), self.rams[name][1], form)",
        ),
    }
    bug_configs = ("E-8", "deep")

    def dut(self, config):
        return aligned(config)

    def cases(self, config, rng):
        rams = Banks(config).rams
        words = {name: {} for name in rams}
        written = {name: {} for name in rams}  # on the clock before
        items, results = [], []
        fill = max(depth for depth, _ in rams.values())
        for clock in range(fill + 150):
            item = {name: int(rng.integers(2)) for name in SELECTS} | {"shown": int(clock >= fill)}
            for ram, (depth, shape) in rams.items():
                first = clock if clock < fill else None
                self._reads_and_writes(item, ram, depth, shape, first, written[ram], rng)
            if item["shown"]:
                results.append(
                    {
                        f"{port}__data": words[ram][item[f"{followed(ram, port, item)}__address"]]
                        for ram, ports in READERS.items()
                        for port in ports
                    }
                )
            for ram, ports in WRITERS.items():
                words[ram] |= written[ram]
                written[ram] = {
                    item[f"{port}__address"]: item[f"{port}__data"]
                    for port in ports
                    if item[f"{port}__enable"]
                }
            items.append(item)
        yield Case({"i": items}, {"o": results}, clocks=len(items) + 1 + config.side_clocks)

    def _reads_and_writes(self, item, ram, depth, shape, fill, written, rng):
        """One clock of a RAM's ports. At most one writes; the word written before isn't read.

        Nor is the word that is written, which a deep RAM may read a clock later.
        """
        words = [address for address in range(depth) if address not in written]
        read = [int(address) for address in rng.choice(words, size=len(READERS[ram]))]
        item |= {f"{p}__address": a for p, a in zip(READERS[ram], read, strict=True)}
        writer = int(rng.integers(len(WRITERS[ram])))
        for number, port in enumerate(WRITERS[ram]):
            others = np.setdiff1d(range(depth), read) if depth > 64 else np.arange(depth)
            address = fill % depth if fill is not None else int(rng.choice(others))
            writes = fill is not None or rng.random() < 0.6
            item |= {
                f"{port}__enable": int(writes and number == writer),
                f"{port}__address": address,
                f"{port}__data": random_word(rng, shape),
            }


test_pysim, test_cocotb, test_planted_bugs = bench_tests(BanksBench())
