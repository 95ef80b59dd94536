"""Axi4Memory: words that are spread over ports which pause each in its own time, in order."""

from functools import partial

from sterna.plan.axi4 import read_clocks
from sterna.spec.axi4 import BEATS, Axi4
from sterna_rtl.memory.axi4_memory import Axi4Memory
from sterna_sim.axi4_model import Axi4Beside, Behaviour
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.memory.stalls import FEW_STALLS


def memory(data_bits, ports, outstanding=2, spacing=1 << 20):
    return Axi4(
        data_bits=data_bits,
        ports=ports,
        port_bytes=1 << 14,
        spacing=spacing,
        outstanding=outstanding,
    )


def broken(old, new):
    return lambda config: edited(Axi4Memory, old, new)(config)


class MemoryBench(UnitBench):
    """Requests of all lengths; memories whose ports pause and rest at different times."""

    name = "axi4 memory"
    configs = {
        "2 ports of 64": memory(64, 2, outstanding=4),
        "4 ports of 128": memory(128, 4, spacing=0),
        "1 port of 512": memory(512, 1),
    }
    bug_configs = ("2 ports of 64",)
    reset_between = True
    stalls = FEW_STALLS
    bugs = {
        "to the first port alone": broken("reader.i.valid.eq(bursts.o.valid & ~taken[port])",
            "reader.i.valid.eq(bursts.o.valid & ~taken[port] & (port == 0))"),
        "twice to the same port": broken("bursts.o.valid & ~taken[port]", "bursts.o.valid"),
        "gone when one port has it": broken(
            "(taken | Cat(takes)).all()", "(taken | Cat(takes)).any()"),
        "a port is left out of the next": broken(
            "Mux(bursts.o.ready, 0, taken | Cat(takes))", "taken | Cat(takes)"),
        "a word without all its parts": broken("Cat(there).all()", "Cat(there).any()"),
        "ports in another order": broken("for reader in self.readers)",
            "for reader in reversed(self.readers))"),
        "all at the first port's place": broken(
            "Axi4Reader(memory, port)", "Axi4Reader(memory, 0)"),
        "parts taken before all are there": broken(
            "reader.o.ready.eq(transfers(self.o))", "reader.o.ready.eq(self.o.ready)"),
        "an error of one port not told": broken("Cat(errors).any()", "Cat(errors).all()"),
        "an error is not cleared": broken("reader.clear.eq(self.clear)", "reader.clear.eq(0)"),
    }  # fmt: skip
    not_stalled = {"i": "few requests, each of many words"}

    def dut(self, config):
        return Axi4Memory(config)

    def cases(self, config, rng):
        size = config.word_bits // 8
        words = {at: int.from_bytes(rng.bytes(size), "little") for at in range(config.words)}
        prefixes = tuple(f"axi__{port}" for port in range(config.ports))

        def case(name, requests, clear=0, clocks=None, finals=0, **behaviour):
            places = [(r["block"] + n) % config.words for r in requests for n in range(r["blocks"])]
            return Case(
                {"i": requests},
                {"o": [words[at] for at in places]},
                {"clear": clear},
                {"error": finals},
                beside=[partial(Axi4Beside, config, Behaviour(**behaviour), words, prefixes)],
                clocks=clocks,
                name=name,
            )

        def request(block, blocks):
            return {"write": 0, "block": block, "blocks": blocks}

        def some(count):
            places = rng.integers(config.words, size=count).tolist()
            lengths = rng.integers(1, 3 * BEATS, size=count).tolist()
            return [request(*each) for each in zip(places, lengths, strict=True)]

        clocks = 2 + read_clocks([BEATS] * 12, config.outstanding, 3)
        yield case("in a row", [request(BEATS, 12 * BEATS)], latency=3, clocks=clocks)
        yield case("past the end", [request(config.words - 5, 25)], latency=4)
        yield case("pauses and refresh", some(6), latency=7, pauses=0.3, refresh=(61, 20))
        last = config.ports - 1
        for place in ((0, 20), (last, 20)):
            yield case("an error", [request(0, 60)], 1, pauses=0.3, failing=frozenset([place]))
        at_end = frozenset([(last, 39)])
        yield case("an error at the end", [request(0, 40)], finals=1, failing=at_end)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(MemoryBench())


def test_contract():
    config = Axi4(data_bits=64, ports=2, port_bytes=4096, outstanding=1)
    names = ("arready", "rid", "rdata", "rresp", "rlast", "rvalid")
    free = (*(f"axi__{port}__{name}" for port in range(2) for name in names), "clear")
    never = edited(Axi4Memory, "reader.o.ready.eq(transfers(self.o))", "reader.o.ready.eq(1)")
    contract = StreamContract(free=free, depth=20)
    check_contract(lambda: Axi4Memory(config), contract, {"never stalls": lambda: never(config)})
