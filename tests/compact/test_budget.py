"""Clocks of the compact arithmetic for the shipped model: what its programs add up to."""

from pathlib import Path

from sterna.model import container
from sterna.spec.compact import PROGRAMS, Program
from sterna.spec.program import Op
from sterna_rtl.compact.arithmetic import Arithmetic

MODEL = Path(__file__).parents[2] / "models" / "tern-up5k" / "tern-up5k.sterna"
BEATS = 3520
LEAST, MOST = 4.75, 4.85
"""Clocks a beat; seven would be 500 tokens per second at 20 MHz, if nothing else took longer."""

OPERATION = {
    Op.EMBED: (Program.EMBED, Program.STATISTICS),
    Op.SILU: (Program.SILU,),
    Op.GATE: (Program.GATE, Program.SCRATCH_STATISTICS),
    Op.PRODUCT: (Program.PRODUCT, Program.PLAIN_STATISTICS),
    Op.RESIDUAL: (Program.RESIDUAL, Program.STATISTICS),
    Op.LOGITS: (Program.SCORE,),
}
LONG = {Op.STATE: 8.8, Op.GATE: 8.8}
"""Clocks of an element where they are more than seven."""


def clocks(program, rows):
    """As the bench of `Arithmetic` asks for."""
    return 1 + len(PROGRAMS[program]) * (rows + Arithmetic.overhead)


def programs(step):
    if step.op is Op.STATE:
        bounded = Program.BOUNDED_STATE if step.vector_a else Program.STATE
        return Program.SUMS, bounded
    return Program.SUMS, *OPERATION[step.op]


def test_clocks_of_a_token():
    total = 0
    steps = container.load(MODEL).steps
    for step in steps:
        taken = sum(clocks(program, step.rows) for program in programs(step))
        print(f"{step.name} {step.op.name}: {taken / step.rows:.1f} for each of {step.rows}")
        assert taken / step.rows <= LONG.get(step.op, 7)
        total += taken
    assert sum(step.rows for step in steps) == BEATS
    print(f"{total} clocks, {total / BEATS:.2f} a beat")
    assert LEAST < total / BEATS < MOST
