"""Control of the compact chip: a program for all of its ports, beside the emulated chip."""

import numpy as np
from amaranth import *
from amaranth.lib.wiring import Component

from sterna.firmware.assembler import assemble
from sterna.firmware.program import NAMES
from sterna.golden.compact_chip import Chip
from sterna.spec.compact import COLUMNS, NOISE_WORDS, Place, Program, Shift
from sterna.spec.compact_chip import SETTINGS
from sterna.spec.trits import Packing, pack
from sterna_rtl.compact.control import Control
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import Case, UnitBench, edited
from sterna_sim.kit.stalls import ALL_STALLS
from sterna_sim.kit.suite import bench_tests

ROUTINES = """
get:    in    Read.RECEIVED
        store low_byte
        in    Read.RECEIVED
        mul   #256
        low
        or    low_byte
        return
show:   store shown
        out   Write.SEND
        load  shown
        mul   #256
        high
        out   Write.SEND
        return
.room low_byte 1
.room tape_at 1
.room shown 1
"""

ROWS, TAPE_AT, FIRST, LAST = 30, 100, 5, 28


def given(*ports):
    """Bring words from the link to ports."""
    return "".join(f"call get\nout {port}\n" for port in ports)


def said(*ports):
    """Send what ports show."""
    return "".join(f"in {port}\ncall show\n" for port in ports)


def run(program, first=FIRST, last=LAST):
    """Execute a program."""
    return (
        f"load #{first}\nout Write.FIRST\nload #{last}\nout Write.LAST\n"
        f"load #Program.{program.name}\nout Write.PROGRAM\n"
    )


def block(flags):
    return f"in Read.RESULT\nload #{flags}\nout Write.BLOCK\n"


DONE = [f"Read.{name}" for name in ("RESULT", "ELEMENT", "CLAMPED", "MORE")]
DONE += [f"Read.{name} + {n}" for name in ("TOTAL", "REST") for n in range(3)]
TEXT = "".join(
    [
        # Tape: written, read, and its blocks.
        f"load #{TAPE_AT}\nnext: store tape_at\nout Write.SEEK\n",
        given("Write.TAPE", "Write.TAPE", "Write.TAPE_WORD"),
        f"load tape_at\nadd #1\nstore tape_at\nsub #{TAPE_AT + 2 * ROWS}\nifz written\n",
        f"load tape_at\ngoto next\nwritten: load #{TAPE_AT}\nout Write.SEEK\n",
    ]
    + [said("Read.TAPE", "Read.TAPE + 1", "Read.TAPE + 2")] * 3
    + ["in Read.TAPE + 2\nin Read.TAPE\ncall show\n"]
    # Vectors, by the sums.
    + [f"load #{FIRST}\nout Write.SUM_AT\n"]
    + [given("Write.SUM")] * 8
    + [given("Write.SUM_MORE")] * 4
    + [given("Write.NIBBLE")] * 12
    + ["load =2000\nout Write.PLACE + Place.STATE\n", run(Program.LOAD)]
    + [f"load #1\nout Write.PLACE + {n}\n" for n in range(1, 5)]
    + ["load =2000\nout Write.PLACE + Place.QUANTISE\nout Write.PLACE + Place.WEIGHTS\n"]
    + ["out Write.PLACE + Place.TEMPERATURE\n"]
    + [run(Program.SHOW_VECTORS, n, n) + said("Read.RESULT") for n in (FIRST, 13, LAST)]
    # Behind a program that reads another place: the word takes longest to be there.
    + [
        f"{run(Program.CUT)}in Read.RESULT\n"
        f"load =2000 + {n}\nout Write.PEEK\nin Read.PEEKED\ncall show\n"
        for n in (FIRST, FIRST + 1, LAST)
    ]
    + ["load =2000\nout Write.PLACE + Place.STATE\n"]
    # x and scratch of the sums, their largest product and sum of squares.
    + ["load #15\nout Write.SHIFT + Shift.SCALE\nload #7\nout Write.SHIFT + Shift.CUT\n"]
    + [
        "load #507\nout Write.SUM_AT\n",
        given("Write.SUM", "Write.SUM"),
        run(Program.SET_FACTORS, 507, 508),
    ]
    + [run(Program.SUMS), said(*DONE), run(Program.EMBED), said(*DONE)]
    # A shift that waits for the program.
    + [run(Program.SUMS), "load #3\nout Write.SHIFT + Shift.SCALE\n", said(*DONE)]
    + ["load #15\nout Write.SHIFT + Shift.SCALE\n"]
    + [run(Program.STATISTICS), said(*DONE)]
    # Activations and blocks.
    + ["load #26\nout Write.SHIFT + Shift.ACTIVATION\n"]
    + [f"load #{TAPE_AT}\nout Write.SEEK\nload #{ROWS - 1}\nout Write.LAST_ROW\n"]
    + [run(Program.CUT), run(Program.ACTIVATE), block(1)]
    + [run(Program.CUT), run(Program.ACTIVATE), block(2)]
    + [run(Program.SUMS, 0, ROWS - 1), said(*DONE), said("Read.TAPE + 2")]
    # A sum that waits until the lanes have written theirs.
    + [f"load #{TAPE_AT}\nout Write.SEEK\n", run(Program.CUT), run(Program.ACTIVATE)]
    + ["load #5\nout Write.SUM_AT\n", block(3)]
    + ["out Write.SUM, #17\nout Write.SUM_MORE, #30\nout Write.NIBBLE, #9\n"]
    + [run(Program.SUMS, 0, ROWS - 1), said(*DONE)]
    # Two blocks one after the other, and what must wait for them.
    + [f"load #{TAPE_AT + 7}\nout Write.SEEK\n", run(Program.CUT), run(Program.ACTIVATE), block(1)]
    + ["load #2\nout Write.BLOCK\nload #4\nout Write.LAST_ROW\nload #9\nout Write.TAPE_WORD\n"]
    + ["load #2\nout Write.BLOCK\n", f"load #{TAPE_AT + 5}\nout Write.SEEK\n"]
    + [said("Read.TAPE", "Read.TAPE + 1"), run(Program.SUMS, 0, ROWS - 1), said(*DONE)]
    # A seek that waits for a long block.
    + [f"load #{TAPE_AT + 20}\nout Write.SEEK\nload #{ROWS - 1}\nout Write.LAST_ROW\n"]
    + ["load #3\nout Write.BLOCK\n"]
    + [f"load #{TAPE_AT + 5}\nout Write.SEEK\n", said("Read.TAPE + 1")]
    + [run(Program.SUMS, 0, ROWS - 1), said(*DONE)]
    # Noise, and a choice.
    + [given("Write.PIECE")] * 4
    + [f"load #{LAST}\nout Write.NOISE\nin Read.NOISE\n", run(Program.SCORE), said(*DONE)]
    # Pieces that wait for noise, then noise for fewer logits than the last piece says.
    + [given("Write.PIECE")] * 4
    + [f"load #{LAST}\nout Write.NOISE\nload #5\n", "out Write.PIECE\n" * 4]
    + ["load #8\nout Write.NOISE\nin Read.NOISE\n", run(Program.SCORE), said(*DONE)]
    # Sums in its place.
    + [f"load #{NOISE_WORDS + 20}\nout Write.SUM_AT\n", "load #1\nout Write.SUM\n"]
    + ["load =32767\nout Write.SUM\n", run(Program.SCORE), said(*DONE)]
    # The link's own.
    + ["out Write.CHECK_START\n", *[given("Write.CHECK")] * 5, said("Read.CHECK", "Read.CHECK + 1")]
    + ["out Write.CHECK\nout Write.CHECK_START\nout Write.CHECK\nout Write.CHECK\n"]
    + [said("Read.CHECK", "Read.CHECK + 1")]
    + ["in Read.SENT\n", given("Write.DIVISOR")]
    # A place that waits for the program, then all settings: no other port takes them for its own.
    + ["load =2000\nout Write.PLACE + Place.STATE\n", run(Program.SHOW_VECTORS)]
    + ["load =2001\nout Write.PLACE + Place.STATE\nin Read.RESULT\ncall show\n"]
    + [f"load #{TAPE_AT + 1}\nout Write.SEEK\nout Write.CHECK_START\nout Write.CHECK, #3\n"]
    + ["out Write.FIRST, #7\nout Write.LAST, #9\nout Write.SUM_AT, #8\nload =1235\n"]
    + [f"out Write.PLACE + {n}\n" for n in range(len(Place))]
    + [f"out Write.SHIFT + {n}\n" for n in range(len(Shift))]
    + ["out Write.SUM, #19\nout Write.PROGRAM, #Program.SUMS\n", said(*DONE)]
    + [said("Read.TAPE", "Read.TAPE + 1", "Read.TAPE + 2", "Read.CHECK")]
    # As they are at the start, for the next pass.
    + [
        f"load ={SETTINGS[name].get(n, 0)}\nout Write.{name.upper()} + {n}\n"
        for name, kind in (("place", Place), ("shift", Shift))
        for n in range(len(kind))
    ]
    + ["in Read.RECEIVED\ncall show\n" * 2]
    + ["stop: in Read.RECEIVED\ngoto stop\n", ROUTINES]
)

FIRMWARE = assemble(TEXT, NAMES)


class Linked(Component):
    """The unit behind the streams of its link, which have always sent all."""

    def __init__(self, unit=Control):
        self.unit = unit(FIRMWARE, 5)
        members = self.unit.signature.members
        super().__init__({name: members[name] for name in ("received", "send", "divisor")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.received, unit.received)
        connect_stream(m, unit.send, self.send)
        m.d.comb += [self.divisor.eq(unit.divisor), unit.sent.eq(~unit.send.valid)]
        return m


class ControlBench(UnitBench):
    """One program, which goes through all ports, on drawn numbers."""

    name = "compact-control"
    reset_between = True
    reset_test = False  # the memories are not reset, and the program reads what was not written
    drain = 100
    stalls = ALL_STALLS[::3]  # the program takes thousands of clocks
    patience = 6000
    not_stalled = {"received": "ready only where the program reads"}
    bugs = {
        name: lambda _, old=old, new=new: Linked(edited(Control, old, new))
        for name, old, new in (
            ("a program's elements change", "free.eq(~program)", "free.eq(1)"),
            ("pieces the wrong way round", "Cat(pieces[WORD_BITS:], data)", "Cat(data, pieces)"),
            (
                "seeks in a block",
                "Write.LAST_ROW, Write.BLOCK, Write.SEEK, Write.TAPE_WORD",
                "Write.TAPE_WORD",
            ),
            ("a nibble without its sign", "(nibble & data[3])", "(nibble & 0)"),
            ("sums at one place", "m.d.sync += at.eq(at + 1)", "m.d.sync += at.eq(at)"),
            ("no more than 16 bits", "(port == Write.SUM_MORE) | signs[0]", "signs[0]"),
            ("each piece takes the word", "port == Read.TAPE + 2", "port == Read.TAPE + 1"),
            ("a word twice", " & ~compute.takes", ""),
            (
                "a peek too early",
                "there.eq(~self._peeks.any())",
                "there.eq(~self._peeks[:2].any())",
            ),
            ("a peek at the place before", "with m.If(written(Write.PEEK)):", "with m.If(0):"),
            (
                "sums beside those of the lanes",
                "~program & ~(block.valid & block.payload.ends)",
                "~program",
            ),
            ("noise is not waited for", "there.eq(~compute.i_noise.valid)", "there.eq(1)"),
            ("results before the end", "there.eq(~compute.i.valid)", "there.eq(1)"),
            (
                "reads before what was written",
                "shown.valid.eq(there & ~waits)",
                "shown.valid.eq(there)",
            ),
            (
                "the last block is the first",
                "Cat(block.payload.begins, block.payload.ends)",
                "Cat(block.payload.ends, block.payload.begins)",
            ),
            ("an end like a byte", "Cat(byte.good, C(1 << 14, 15))", "byte.data"),
            ("damaged frames are good", "Cat(byte.good,", "Cat(C(1, 1),"),
            ("words the wrong way round", "first + n: value", "first + count - 1 - n: value"),
        )
    }

    def dut(self, config):
        return Linked()

    def cases(self, config, rng):
        yield case(rng)


def case(rng):
    chip = Chip(FIRMWARE.program, FIRMWARE.data)
    trits = rng.integers(-1, 2, (2 * ROWS, COLUMNS)).astype(np.int8)
    tape = np.packbits(pack(trits, Packing.TWO_BITS), axis=1, bitorder="little").reshape(-1)
    # Sums, the scale and the reciprocal, the state of the noise, bytes, the divisor.
    more = [*rng.integers(1 << 16, size=12), *rng.integers(16, size=12), 30000, 50000]
    more += [*rng.integers(1 << 16, size=13), 77]
    words = np.array(more, dtype="<u2").tobytes()
    items = [{"data": byte, "end": 0, "good": 0} for byte in [*tape.tolist(), *words]]
    items += [{"data": 0, "end": 1, "good": good} for good in (0, 1)]
    chip.received += [bool(i["good"]) if i["end"] else i["data"] for i in items]
    chip.run()
    return Case({"received": items}, {"send": list(chip.sent)}, finals={"divisor": 77})


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ControlBench())


def test_all_ports_are_played():
    """No port of the specification is left out."""
    for name, kind in (("Read", NAMES["Read"]), ("Write", NAMES["Write"])):
        assert [port.name for port in kind if f"{name}.{port.name}" not in TEXT] == []
