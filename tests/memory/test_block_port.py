"""BlockPort over the controller and the model of the memory: blocks written and read back."""

from dataclasses import replace
from functools import partial

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.spec.sdram import BURST, PARTS, WORD_BITS
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.memory.block_port import BlockPort, block_layout
from sterna_rtl.memory.pins import Pins
from sterna_rtl.memory.sdram import Sdram
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from sterna_sim.sdram_model import SdramBeside
from tests.memory.stalls import FEW_STALLS

CLOCK_HZ = 100_000_000
PART = replace(PARTS["ULX3S"], power_up_ns=1000, column_bits=6)


class Ported(wiring.Component):
    """Port and controller; a restart `after` clocks after the request number `count`, from 1 on.

    No request is taken until then.
    """

    def __init__(self, _config=None, unit=BlockPort):
        self.port, self.sdram = unit(PART), Sdram(PART, CLOCK_HZ)
        super().__init__(
            {
                "i": In(stream.Signature(block_layout(PART))),
                "o": Out(stream.Signature(PART.block_bits)),
                "count": In(8),
                "after": In(8),
                "pins": Out(Pins(PART)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.port, m.submodules.sdram = port, sdram = self.port, self.sdram
        connect_stream(m, port.o_request, sdram.i)
        connect_stream(m, port.o_word, sdram.i_word)
        connect_stream(m, sdram.o, port.i_word)
        connect(m, sdram.pins, flipped(self.pins))
        taken, passed = Signal(8), Signal(8)
        halts = (taken == self.count) & (self.count != 0) & (passed <= self.after)
        m.d.sync += [taken.eq(taken + transfers(self.i)), passed.eq(Mux(halts, passed + 1, passed))]
        m.d.comb += [
            port.i.payload.eq(self.i.payload),
            port.i.valid.eq(self.i.valid & ~halts),
            self.i.ready.eq(port.i.ready & ~halts),
            port.restart.eq(halts & (passed == self.after)),
            self.o.payload.eq(port.o.payload),
            self.o.valid.eq(port.o.valid & ~halts),
            port.o.ready.eq(self.o.ready & ~halts),
        ]
        return m


def broken(old, new):
    return lambda _config: Ported(unit=edited(BlockPort, old, new))


class PortBench(UnitBench):
    """Blocks here and there; a block that is asked for, on its way or there when all restarts."""

    name = "block-port"
    cocotb_configs = ("default",)
    reset_between = True
    reset_test = False  # the controller's bench does it; here each case takes a power-up
    stalls = FEW_STALLS
    drain = 100
    bugs = {
        "taken before the last one is done": broken("(words == 0) &", ""),
        "block overwritten": broken("_request.valid & ~self.o.valid)", "_request.valid)"),
        "words read are written": broken("moves & ~reading", "moves"),
        "always reads": broken("write.eq(self.i.payload.write)", "write.eq(0)"),
        "another block": broken(
            "block.eq(self.i.payload.block)", "block.eq(self.i.payload.block ^ 1)"
        ),
        "two blocks": broken("blocks.eq(1)", "blocks.eq(2)"),
        "a word too few": broken("reading & (words == 1)", "reading & (words == 2)"),
        "highest word first": broken(
            "data.eq(joined[self.part.word_bits :])", "data.eq(Cat(word, data))"),
        "a block on its way survives a restart": broken("dropping.eq(1)", "dropping.eq(0)"),
        "a block that waits survives a restart": broken("[self.o.valid.eq(0), dropping.eq(1)]",
            "dropping.eq(1)"),
        "all dropped after a restart": broken("dropping.eq(0),", ""),
    }  # fmt: skip

    def dut(self, config):
        return Ported()

    def cases(self, config, rng):
        for count, after in ((0, 0), (5, 0), (5, 9), (5, 60)):
            words = {n: int(rng.integers(1 << WORD_BITS)) for n in range(20 * BURST)}
            before, requests, outputs = dict(words), [], []
            for number in range(40):
                block = int(rng.integers(20))
                # The one that is dropped is a read.
                write = int(rng.integers(2)) * (number != count - 1)
                data = int.from_bytes(rng.bytes(PART.block_bits // 8), "little")
                parts = [data >> WORD_BITS * n & (1 << WORD_BITS) - 1 for n in range(BURST)]
                requests.append({"write": write, "block": block, "data": data})
                if write:
                    words |= {block * BURST + n: part for n, part in enumerate(parts)}
                elif number != count - 1:
                    found = [words[block * BURST + n] for n in range(BURST)]
                    outputs.append(sum(part << WORD_BITS * n for n, part in enumerate(found)))
            yield Case(
                {"i": requests},
                {"o": outputs},
                {"count": count, "after": after},
                beside=[partial(SdramBeside, PART, CLOCK_HZ, before, words)],
                name=f"restart {after} after {count}",
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(PortBench())


def test_contract():
    small = replace(PART, row_bits=1, bank_bits=1, column_bits=3)
    held = "with m.If(transfers(self.o_request)):", "with m.If(1):"
    free = "(words == 0) & ~self.o_request.valid", "(words == 0)"
    check_contract(
        lambda: BlockPort(small),
        StreamContract(depth=24),
        {
            "request not held": lambda: edited(BlockPort, *held)(small),
            "taken while the last one waits": lambda: edited(BlockPort, *free)(small),
        },
    )
