"""Axi4Memory: words that are spread over ports which pause each in its own time, in order."""

from functools import partial

from sterna.plan.axi4 import read_clocks
from sterna.spec.axi4 import BEATS, Axi4
from sterna_rtl.memory.axi4_memory import Axi4Memory
from sterna_sim.axi4_model import Axi4Beside, Behaviour, ReadPort, WritePort
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
        "to the first port alone": broken("source.valid & ~taken[number]",
            "source.valid & ~taken[number] & (number == 0)"),
        "twice to the same port": broken("source.valid & ~taken[number]", "source.valid"),
        "gone when one port has it": broken("have.all()", "have.any()"),
        "a port is left out of the next": broken("Mux(source.ready, 0, have)", "have"),
        "a word without all its parts": broken("for reader in self.readers).all()",
            "for reader in self.readers).any()"),
        "ports in another order": broken("for reader in self.readers)),",
            "for reader in reversed(self.readers))),"),
        "all at the first port's place": broken(
            "Axi4Reader(memory, port)", "Axi4Reader(memory, 0)"),
        "written to the first port's place": broken(
            "Axi4Writer(memory, port)", "Axi4Writer(memory, 0)"),
        "parts taken before all are there": broken(
            "reader.o.ready.eq(transfers(self.o))", "reader.o.ready.eq(self.o.ready)"),
        "an error of one port not told": broken("for unit in units).any()",
            "for unit in units).all()"),
        "an error is not cleared": broken("unit.clear.eq(self.clear)", "unit.clear.eq(0)"),
        "reads before writes are done": broken(" & ~write & ~writing", " & ~write"),
        "writes before reads are done": broken(" & write & ~reading", " & write"),
        "the same part to all": broken("word_select(number, part)", "word_select(0, part)"),
    }  # fmt: skip
    not_stalled = {
        "i": "few requests, each of many words",
        "i_word": "taken a burst at a time",
    }

    def dut(self, config):
        return Axi4Memory(config)

    def cases(self, config, rng):
        size = config.word_bits // 8
        words = {at: int.from_bytes(rng.bytes(size), "little") for at in range(config.words)}
        prefixes = tuple(f"axi__{port}" for port in range(config.ports))

        def case(name, requests, clear=0, clocks=None, finals=0, **behaviour):
            held, given, read = dict(words), [], []
            for each in requests:
                for place in range(each["block"], each["block"] + each["blocks"]):
                    if each["write"]:
                        given.append(int.from_bytes(rng.bytes(size), "little"))
                        held[place % config.words] = given[-1]
                    else:
                        read.append(held[place % config.words])
            behave, kinds = Behaviour(**behaviour), (ReadPort, WritePort)
            return Case(
                {"i": requests, "i_word": given},
                {"o": read},
                {"clear": clear},
                {"error": finals},
                beside=[partial(Axi4Beside, config, behave, words, prefixes, kinds, held)],
                clocks=clocks,
                name=name,
            )

        def request(block, blocks, write=0):
            return {"write": write, "block": block, "blocks": blocks}

        def some(count):
            places = rng.integers(config.words, size=count).tolist()
            lengths = rng.integers(1, 3 * BEATS, size=count).tolist()
            return [request(*each) for each in zip(places, lengths, strict=True)]

        clocks = 2 + read_clocks([BEATS] * 12, config.outstanding, 3)
        yield case("in a row", [request(BEATS, 12 * BEATS)], latency=3, clocks=clocks)
        yield case("past the end", [request(config.words - 5, 25)], latency=4)
        yield case("pauses and refresh", some(6), latency=7, pauses=0.3, refresh=(61, 20))
        # One after the other, to the same words and to others.
        mixed = [request(8 * n % 24, 9 + n, n % 3 != 1) for n in range(12)]
        yield case("writes and reads", mixed, latency=12, pauses=0.2)
        last = config.ports - 1
        for slow in {0, last} if config.ports == 2 else ():
            late = tuple(40 * (port == slow) for port in range(config.ports))
            yield case(f"reads of port {slow} are late", mixed[:6], late_reads=late)
            # A read at the end, for it waits until the last write is done.
            yield case(f"writes of port {slow} are late", mixed[:5], late_writes=late)
        for place in ((0, 20), (last, 20)):
            yield case("an error", [request(0, 60)], 1, pauses=0.3, failing=frozenset([place]))
        at_end = frozenset([(last, 39)])
        yield case("an error at the end", [request(0, 40)], finals=1, failing=at_end)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(MemoryBench())


def test_contract():
    config = Axi4(data_bits=64, ports=2, port_bytes=4096, outstanding=1)
    names = (
        "arready", "rid", "rdata", "rresp", "rlast", "rvalid",
        "awready", "wready", "bid", "bresp", "bvalid",
    )  # fmt: skip
    free = (*(f"axi__{port}__{name}" for port in range(2) for name in names), "clear")
    never = edited(Axi4Memory, "reader.o.ready.eq(transfers(self.o))", "reader.o.ready.eq(1)")
    contract = StreamContract(free=free, depth=20)
    check_contract(lambda: Axi4Memory(config), contract, {"never stalls": lambda: never(config)})
