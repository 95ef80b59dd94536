"""Processor: the compact chip's control, an accumulator and a clock or two an instruction."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.processor import (
    DATA_WORDS,
    OPERAND_BITS,
    PORT_BITS,
    PORTS,
    PROGRAM_WORDS,
    STACK,
    WORD_BITS,
    Code,
    Go,
    If,
    Mode,
    Move,
    Result,
)
from sterna_rtl.lib.memory import ReadPort, WritePort

__all__ = ["Processor"]

_INSTRUCTION = StructLayout({"operand": OPERAND_BITS, "mode": 2, "code": 4})

_WRITE = StructLayout({"port": range(PORTS), "data": WORD_BITS})


class Processor(Component):
    """Execute the instructions of `sterna.spec.processor`.

    Attributes
    ----------
    program : ReadPort
        Instructions. Their RAM shows the same word while its address stays.
    data, new_data : ReadPort, WritePort
        The data memory.
    port : Signal, out
        Port of the instruction.
    i : stream.Interface
        What comes from the port, taken by an IN.
    o : stream.Interface
        A word and its port, of an OUT.
    restart : Signal, in
        Begin at address 0 with an empty stack on the next clock; all else is as it was.

    Latency
        An instruction takes a clock, and one more where it reads the data memory: those of `Mode`
        with another one than NUMBER, but for STORE; and RETURN.

    Throughput
        One instruction at a time.

    Backpressure
        IN and OUT wait.

    Resources
        One multiplier of 16 x 16 bits.
    """

    def __init__(self) -> None:
        word = unsigned(WORD_BITS)
        super().__init__(
            {
                "program": Out(ReadPort(PROGRAM_WORDS, word)),
                "data": Out(ReadPort(DATA_WORDS, word)),
                "new_data": Out(WritePort(DATA_WORDS, word)),
                "port": Out(range(PORTS)),
                "i": In(stream.Signature(word)),
                "o": Out(stream.Signature(_WRITE)),
                "restart": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        now = Signal(_INSTRUCTION)
        m.d.comb += now.eq(self.program.data)
        code, mode, operand = now.code, now.mode, now.operand
        a, carry, x = Signal(WORD_BITS), Signal(), Signal(range(DATA_WORDS))
        product = Signal(2 * WORD_BITS)

        # The first clock of an instruction that has to reads its operand; at the start no
        # instruction has been read yet.
        starts, second, executes, done = Signal(init=1), Signal(), Signal(), Signal()
        at, following = Signal(PROGRAM_WORDS.bit_length() - 1), Signal(OPERAND_BITS)
        waits = Mux(code == Code.OUT, ~self.o.ready, (code == Code.IN) & ~self.i.valid)
        after = Signal(range(PROGRAM_WORDS))
        returns, calls = ((code == Code.GO) & (mode == kind) for kind in (Go.RETURN, Go.CALL))
        reads = ((code <= Code.MULTIPLY) & (mode != Mode.NUMBER)) | returns
        m.d.comb += [
            after.eq(at + 1),
            executes.eq(~starts & (second | ~reads)),
            done.eq(executes & ~waits),
            following.eq(after),
            self.program.address.eq(Mux(done, following, at)),
            self.port.eq(operand),
            self.i.ready.eq(executes & (code == Code.IN)),
            self.o.valid.eq(executes & (code == Code.OUT)),
            self.o.payload.port.eq(operand),
            self.o.payload.data.eq(Mux(mode[0], Cat(operand[PORT_BITS:], mode[1]), a)),
        ]
        m.d.sync += [starts.eq(0), second.eq(~starts & ~executes)]
        index = x & (mode == Mode.INDEXED).replicate(len(x))
        depth = Signal(range(DATA_WORDS - STACK))
        m.d.comb += [
            self.data.address.eq(operand + index),
            self.new_data.address.eq(self.data.address),
            self.new_data.data.eq(Mux(calls, after, a)),
            self.new_data.enable.eq(executes & ((code == Code.STORE) | calls)),
        ]
        with m.If(code == Code.GO):
            m.d.comb += self.data.address.eq(STACK | Cat(depth - returns)[: len(depth)])

        holds = Signal()
        m.d.comb += holds.eq(self._condition(code, mode, a, carry))
        with m.If(holds):
            m.d.comb += following.eq(operand)
        with m.If(returns):
            m.d.comb += following.eq(self.data.data)

        v, total = Signal(WORD_BITS), Signal(WORD_BITS + 1)
        negates = (code == Code.SUBTRACT) | (code == Code.SUBTRACT_CARRY)
        m.d.comb += v.eq(Mux(mode == Mode.NUMBER, operand, self.data.data))
        first = Signal()
        m.d.comb += first.eq(Mux((code == Code.ADD) | (code == Code.SUBTRACT), negates, carry))
        # One chain of carries, which begins with one more bit.
        sums = Cat(C(1, 1), a) + Cat(first, v ^ negates.replicate(WORD_BITS))
        m.d.comb += total.eq(sums[1:])
        with m.If(done):
            m.d.sync += at.eq(following)
            with m.Switch(code):
                with m.Case(Code.LOAD):
                    m.d.sync += a.eq(v)
                with m.Case(Code.ADD, Code.ADD_CARRY, Code.SUBTRACT, Code.SUBTRACT_CARRY):
                    m.d.sync += Cat(a, carry).eq(total)
                with m.Case(Code.AND):
                    m.d.sync += a.eq(a & v)
                with m.Case(Code.OR):
                    m.d.sync += a.eq(a | v)
                with m.Case(Code.XOR):
                    m.d.sync += a.eq(a ^ v)
                with m.Case(Code.MULTIPLY):
                    m.d.sync += product.eq(a * v)
                with m.Case(Code.IN):
                    m.d.sync += a.eq(self.i.payload)
                with m.Case(Code.GO):
                    m.d.sync += depth.eq(depth + calls - returns)
                with m.Case(Code.MOVE):
                    with m.Switch(mode):
                        with m.Case(Move.RIGHT):
                            m.d.sync += [a.eq(Cat(a[1:], carry)), carry.eq(a[0])]
                        with m.Case(Move.LEFT):
                            m.d.sync += Cat(a, carry).eq(Cat(carry, a))
                        with m.Case(Move.INDEX):
                            m.d.sync += x.eq(a)
                        with m.Case(Move.RESULT):
                            m.d.sync += a.eq(product.word_select(operand[0], WORD_BITS))
                            with m.If(operand[1]):
                                m.d.sync += a.eq(_zeros(a))
        with m.If(self.restart):
            m.d.sync += [at.eq(0), depth.eq(0), starts.eq(1), second.eq(0)]
        return m

    @staticmethod
    def _condition(code: Value, mode: Value, a: Value, carry: Value) -> Value:
        """Return whether an instruction goes to its operand."""
        zero = ~a.any()
        return (
            ((code == Code.GO) & (mode != Go.RETURN))
            | ((code == Code.IF) & (Mux(mode[1], carry, zero) ^ mode[0]))
            | ((code == Code.IF_SIGN) & (a[-1] ^ mode[0]))
        )


def _zeros(a: Value) -> Value:
    """Return how many zeros are above the highest 1, 15 if there is none: half by half."""
    bits, width = [], len(a) // 2
    while width:
        none = ~a[width:].any()
        bits.append(none)
        a, width = Mux(none, a[:width], a[width:]), width // 2
    return Cat(reversed(bits))


assert (Result.LOW, Result.HIGH, Result.ZEROS) == (0, 1, 2)
assert [If.ZERO, If.NOT_ZERO, If.CARRY, If.NO_CARRY] == [0, 1, 2, 3]
