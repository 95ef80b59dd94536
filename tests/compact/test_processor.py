"""Processor of the compact chip: in lock-step with its emulator over drawn programs."""

import numpy as np
from amaranth import *
from amaranth.lib.wiring import Component

from sterna.golden.processor import Processor as Golden
from sterna.spec.processor import (
    DATA_WORDS,
    OPERAND_BITS,
    PORT_BITS,
    PORTS,
    PROGRAM_WORDS,
    Code,
    Go,
    Move,
    clocks,
    instruction,
)
from sterna_rtl.compact.processor import Processor
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import Case, Memory, StreamContract, UnitBench, check_contract, edited
from sterna_sim.kit.suite import bench_tests

RESTART = PORTS - 1
"""A write here begins the program anew."""


def seen(word, port):
    """A word as it comes from a port: every port shows another one."""
    return word ^ port * 1021


class Restarted(Component):
    """The unit with who restarts it, and ports that differ."""

    def __init__(self, unit=Processor):
        self.unit = unit()
        members = self.unit.signature.members
        super().__init__({name: one for name, one in members.items() if name not in OWN})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, unit.o, self.o)
        m.d.comb += [
            unit.i.valid.eq(self.i.valid),
            unit.i.payload.eq(self.i.payload ^ (unit.port * 1021)[:16]),
            self.i.ready.eq(unit.i.ready),
            unit.restart.eq(transfers(self.o) & (self.o.payload.port == RESTART)),
        ]
        for name in ("program", "data", "new_data"):
            for part in getattr(unit, name).signature.members:
                one, other = getattr(getattr(unit, name), part), getattr(getattr(self, name), part)
                m.d.comb += (
                    one.eq(other) if part == "data" and name != "new_data" else other.eq(one)
                )
        return m


OWN = "port", "restart"


class ProcessorBench(UnitBench):
    """Programs of all instructions that end by beginning anew, on numbers of all magnitudes."""

    name = "compact-processor"
    cocotb_configs = ("default",)
    reset_between = True
    drain = 600
    not_stalled = {"i": "ready only where the program reads"}
    bugs = {
        name: lambda _, old=old, new=new: Restarted(edited(Processor, old, new))
        for name, old, new in (
            (
                "no carry into a subtraction",
                "Code.SUBTRACT), negates, carry)",
                "Code.SUBTRACT), 0, carry)",
            ),
            (
                "a carry into every sum",
                "Mux((code == Code.ADD) | (code == Code.SUBTRACT), negates",
                "Mux(0, negates",
            ),
            ("A instead of a number", "Mux(mode[0], Cat(", "Mux(0, Cat("),
            ("a number of four bits", "operand[PORT_BITS:], mode[1])", "operand[PORT_BITS:])"),
            ("two clocks each", "(second | ~reads)", "second"),
            ("an operand before it is read", "(mode != Mode.NUMBER)) | returns", "0) | returns"),
            ("an address before it is read", "Mode.NUMBER)) | returns", "Mode.NUMBER))"),
            ("index in every mode", "(mode == Mode.INDEXED).replicate(len(x))", "C(0xFF, 8)"),
            ("returns to the call", "Mux(calls, after, a)", "Mux(calls, at, a)"),
            ("right without carry", "Cat(a[1:], carry)), carry", "Cat(a[1:], C(0, 1))), carry"),
            (
                "left without carry",
                "Cat(a, carry).eq(Cat(carry, a))",
                "Cat(a, carry).eq(Cat(C(0, 1), a))",
            ),
            ("zero by its upper bits", "zero = ~a.any()", "zero = ~a[8:].any()"),
            ("goes on while it waits", "done.eq(executes & ~waits)", "done.eq(executes)"),
            ("other halves", "operand[0], WORD_BITS", "~operand[0], WORD_BITS"),
            ("zeros below", "Mux(none, a[:width], a[width:])", "Mux(none, a[width:], a[:width])"),
            ("stores always", "((code == Code.STORE) | calls)", "1"),
            ("goes where it is told only in mode 0", "mode != Go.RETURN)", "mode == Go.TO)"),
            ("the stack keeps", "depth + calls - returns", "depth + calls"),
            ("the stack is not empty after a restart", "depth.eq(0), starts", "starts"),
            ("returns to the operand", "following.eq(self.data.data)", "following.eq(operand)"),
            ("no restart", "with m.If(self.restart):", "with m.If(0):"),
            ("a product of the sum", "product.eq(a * v)", "product.eq(total * v)"),
            ("sign of the other kind", "(a[-1] ^ mode[0])", "(a[-1] ^ 0)"),
        )
    }

    def dut(self, config):
        return Restarted()

    def cases(self, config, rng):
        for length in (*rng.integers(20, 120, 6), PROGRAM_WORDS - 1):
            yield case(rng, int(length))


def drawn_program(rng, length):
    """Instructions that only go forwards, until the last one writes to `RESTART`."""
    program = [instruction(Code.IN, 0, int(rng.integers(PORTS)))]
    inner, own = set(), set()  # addresses to which nothing else may go, and whence one does

    def ahead():
        return min(len(program) + int(rng.integers(1, 5)), length - 1)

    def some(code, modes):
        """Append an instruction with an operand of any kind."""
        operand = int(rng.choice([0, 1, 255, 511, 1023, rng.integers(1 << OPERAND_BITS)]))
        program.append(instruction(code, int(rng.integers(modes)), operand))

    while len(program) < length - 1:
        room = length - 1 - len(program)
        match int(rng.integers(10)):
            case 0 | 1 | 2 | 3:
                some(Code(rng.integers(Code.MULTIPLY + 1)), 3)
            case 4:
                some(Code.STORE, 3)
            case 5:
                some(Code.MOVE, 4)
            case 6:
                code = Code(rng.choice([Code.IF, Code.IF_SIGN]))
                program.append(instruction(code, int(rng.integers(4)), ahead()))
            case 7:
                code = Code(rng.choice([Code.IN, Code.OUT, Code.OUT]))
                number = int(rng.integers(1 << OPERAND_BITS - PORT_BITS)) << PORT_BITS
                mode = int(rng.integers(4)) if code == Code.OUT else 0
                program.append(instruction(code, mode, number + int(rng.integers(RESTART))))
            case 8:
                program.append(instruction(Code.GO, int(rng.choice([Go.TO, Go.CALL])), ahead()))
            case 9 if room > 8:
                # A routine that lies behind its call.
                begin = len(program)
                program += [
                    instruction(Code.GO, Go.CALL, begin + 2),
                    instruction(Code.GO, Go.TO, begin + 6),
                ]
                for _ in range(3):
                    some(Code(rng.integers(Code.MULTIPLY + 1)), 3)
                program.append(instruction(Code.GO, Go.RETURN, int(rng.integers(1024))))
                own.add(begin)
                inner |= set(range(begin + 1, begin + 6))
    for at, word in enumerate(program):
        goes = word >> OPERAND_BITS + 2 in (Code.GO, Code.IF, Code.IF_SIGN) and at not in own
        operand = word & (1 << OPERAND_BITS) - 1
        if goes and operand in inner and word >> OPERAND_BITS != Code.GO << 2 | Go.RETURN:
            program[at] = word + next(n for n in range(9) if operand + n not in inner)
    return [*program, instruction(Code.OUT, 0, RESTART)]


def case(rng, length):
    program = drawn_program(rng, length)
    program += [0] * (PROGRAM_WORDS - len(program))
    words = rng.integers(0, 1 << 16, DATA_WORDS)
    words = np.where(
        rng.random(DATA_WORDS) < 0.4, rng.choice([0, 1, 0x7FFF, 0x8000, 0xFFFF], DATA_WORDS), words
    ).tolist()
    # Every pass reads at least one word.
    words_in = rng.integers(0, 1 << 16, int(rng.integers(3, 30))).tolist()
    waiting, out, steps, taken = list(words_in), [], 0, 0

    def read(port):
        return seen(waiting.pop(0), port) & 0xFFFF

    def write(port, word):
        out.append({"port": port, "data": word})
        if port == RESTART:
            golden.at = golden.depth = 0

    golden = Golden(program, words, read, write)
    try:
        while steps < 100 * length:
            word = program[golden.at]
            golden.step()
            steps += 1
            taken += clocks(word)
    except IndexError:  # it waits for a word that doesn't come
        pass
    assert steps < 100 * length
    ports = "program__address", "program__data"
    return Case(
        {"i": words_in},
        {"o": out},
        memories=[
            Memory(program, [ports], name="program"),
            Memory(
                words,
                [("data__address", "data__data")],
                [("new_data__enable", "new_data__address", "new_data__data")],
                expected=golden.data,
                name="data",
            ),
        ],
        clocks=taken + len(out) + 4,
        name=str(length),
    )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ProcessorBench())


def test_all_instructions_are_drawn():
    """No code or mode is left out by chance."""
    drawn = {word >> OPERAND_BITS for word in drawn_program(np.random.default_rng(1), 1000)}
    wanted = {code << 2 | mode for code in range(Code.STORE) for mode in range(3)}
    wanted |= {Code.MOVE << 2 | mode for mode in Move} | {Code.GO << 2 | mode for mode in Go}
    assert wanted <= drawn


def test_contract():
    """A word that is offered holds."""
    held = "operand[PORT_BITS:], mode[1]), a)"
    bugs = {"word not held": lambda: edited(Processor, held, f"{held[:-1]} + self.i.valid)")()}
    check_contract(Processor, StreamContract(depth=8, covers=1), bugs)
