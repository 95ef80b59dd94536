"""Bench of the compact arithmetic: drawn segments, whose programs are the golden functions'."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sterna.golden.compact import Done
from sterna.spec.compact import LONGEST, PAGE, PROGRAMS, Page
from sterna.spec.program import Op
from sterna_rtl.compact.arithmetic import Arithmetic
from sterna_rtl.compact.finish import Finish
from sterna_rtl.compact.multiplier import Multiplier
from sterna_rtl.compact.sigmoid import Sigmoid
from sterna_rtl.compact.sums import Largest, Total
from sterna_sim.kit import Case, Memory, UnitBench, edited
from tests.compact.segments import Commands, Segments

__all__ = ["ArithmeticBench", "LongBench", "clocks"]

_MOST = {Op.EMBED: PAGE * Page.Y, Op.RESIDUAL: PAGE * Page.Y}
"""Elements of x."""

_READS = {"sums": "sums", "places": "place", "shifts": "shift"}
_BOTH = {"work": "work", "factors": "factor", "vectors": "vector"}


def clocks(commands: Commands) -> int:
    """Clocks in which the programs are done, if nothing stalls."""
    return sum(
        1 + len(PROGRAMS[one["program"]]) * (one["last"] - one["first"] + 1 + Arithmetic.overhead)
        for one in commands.commands
    )


def case(commands: Commands, name: str) -> Case:
    before, after = commands.before, commands.memories
    written = _write("activation")
    memories = [
        Memory(before.activations[:], (), [written], expected=after.activations, name="activations")
    ]
    for field, port in _READS.items():
        read = (f"{port}__address", f"{port}__data")
        memories.append(Memory(getattr(before, field), [read], name=field))
    for field, port in _BOTH.items():
        memories.append(
            Memory(
                getattr(before, field),
                [(f"{port}__address", f"{port}__data")],
                [_write(f"new_{port}")],
                expected=getattr(after, field),
                name=field,
            )
        )
    return Case(
        {"i": commands.commands},
        {"o": [_item(done) for done in commands.done]},
        memories=memories,
        clocks=clocks(commands),
        name=name,
    )


def _write(port: str) -> tuple[str, str, str]:
    return f"{port}__enable", f"{port}__address", f"{port}__data"


def _item(done: Done) -> dict[str, int]:
    return {
        name: getattr(done, name)
        for name in ("total", "rest", "more", "element", "clamped", "result")
    }


def planted(old: str, new: str, part: type | None = None):
    """Return a planted bug: the unit with an edited text, or with an edited part."""

    def make(_) -> Arithmetic:
        if part is None:
            return edited(Arithmetic, old, new)()
        unit = Arithmetic()
        setattr(unit, part.__name__.lower(), edited(part, old, new)())
        return unit

    return make


class ArithmeticBench(UnitBench):
    """Segments of all operations, some from the middle of a vector, and quantisations."""

    name = "arithmetic"
    configs = {"short": 20}
    cocotb_configs = ()
    patience = 4000
    not_stalled = {"i": "ready only when the command that waits there has been done"}
    bugs = {
        "part of the product left out": planted("+ ab + ba", "+ ab", Multiplier),
        "upper part left out": planted("a_high * b_high", "Const(0)", Multiplier),
        "rounds where it should cut": planted("shifted[0] & self.rounds", "shifted[0]", Finish),
        "element of the next": planted("Finish.latency - Largest.latency", "0"),
        "noise without logits": planted(
            "largest.addend.eq(self.finish.addend)", "largest.addend.eq(0)"
        ),
        "last result not kept": planted("~line[_DIRECT - 1]", "0"),
        "always 16 bits": planted("narrow = wide |", "narrow = 0 |", Finish),
        "limit of the wrong sign": planted(
            "Mux(beyond, product_sign, total[-1])", "total[-1]", Finish
        ),
        "sigmoid's position late": planted("row.rise * rest", "row.rise * self.value[:9]", Sigmoid),
        "largest of negative ones short of one": planted(
            "self.more.eq(complements)", "self.more.eq(0)", Largest
        ),
        "sum not cleared": planted(
            "with m.If(self.clear):\n            m.d.sync += self.total.eq(0)\n        with m.Elif",
            "with m.If",
            Total,
        ),
        "state unsigned": planted("self.vector.data[-1] & ~now.plain", "C(0, 1)"),
        "bound signed": planted("& ~now.plain", ""),
        "index kept where it is fixed": planted("(~now.fixed_page)", "Const(1)"),
        "last sigmoid not written": planted(
            "line[: _SIGMOID - 2].any()", "line[: _SIGMOID - 4].any()"
        ),
        "written from 0": planted("written.eq(self.i.payload.first)", "written.eq(0)"),
        "vector written where it is read": planted("Mux(now.to_vector, written, index)", "index"),
        "addend of the next element": planted('Multiplier.latency, "addend"', '1, "addend"'),
        "what was not multiplied is clamped": planted(
            "line[_DIRECT] & now.counts &", "now.counts &"
        ),
        "next program before it is asked for": planted(
            "self.i.ready.eq(self.o.ready)", "self.i.ready.eq(1)"
        ),
    }

    def dut(self, config: int) -> Arithmetic:
        return Arithmetic()

    def cases(self, config: int, rng: np.random.Generator) -> Iterable[Case]:
        segments = Segments(rng)
        # Several, as a sigmoid that saturates shows little of the state.
        for op in (*Op, *[Op.GATE] * 3):
            for bounded in (False, True)[: 1 + (op is Op.STATE)]:
                first = int(rng.integers(3))
                last = min(
                    first + int(rng.integers(config // 2, config)), _MOST.get(op, LONGEST) - 1
                )
                shift = int(rng.choice([15, rng.integers(14, 32)]))
                commands = segments.operation(op, first, last, bounded=bounded, shift=shift)
                yield case(commands, op.name)
        yield case(segments.operation(Op.LOGITS, 0, config - 1, bounded=False, shift=32), "far")
        for number in range(2):
            yield case(segments.score(0, config + number), "score")
        for source, width in (("x", 16), ("x", 5), ("scratch", 18), ("scratch", 3)):
            last = int(rng.integers(24, 40))
            yield case(segments.quantise(source, int(rng.integers(9)), last, width=width), source)


class LongBench(ArithmeticBench):
    """Vectors as long as those of tern-up5k, in the compiled unit."""

    name = "arithmetic-long"
    configs = {"long": 280}
    cocotb_configs = ("long",)
