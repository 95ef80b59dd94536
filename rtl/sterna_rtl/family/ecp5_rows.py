"""Row sums on ECP5: four ternary lanes to a carry chain, one table per bit of sum.

A CCU2C adds ``((x & nonzero) ^ negative)`` to a number with the tables that the carry chain has
anyway, and the half in front of its lowest bit brings in the +1 of a negative weight. The first
lane of four goes through tables of its own, the other three are added on the clocks that follow:

    clock 1   t + lane 1          (t: lane 0, without its +1)
    clock 2     + lane 2
    clock 3     + lane 3

From there on it is the tree of the behavioural form, whose first two levels these clocks replace;
the +1 of lane 0 is the carry that each sum leaves over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from amaranth import *
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna_rtl.lib.delay import delay_line

__all__ = ["LANES_OF_A_CHAIN", "TernaryRows"]

LANES_OF_A_CHAIN = 4

T = TypeVar("T")


def _table(function: Callable[[int, int, int, int], int]) -> int:
    """Return the 16 bits of a table with inputs A, B, C, D (A the fastest)."""
    return sum(function(n & 1, n >> 1 & 1, n >> 2 & 1, n >> 3 & 1) << n for n in range(16))


# A CCU2C's carry goes on where the table gives 1, and is A where it gives 0. It reads the latter
# from the table's first four bits, as if C and D were 0: they must be A.
_TERNARY = _table(lambda a, b, c, d: a ^ (b & c) ^ d)
_PLUS = _table(lambda a, b, c, d: a ^ b if c and d else a)
_CARRY_IN = _table(lambda a, b, c, d: a if not (c and d) else 0)


class TernaryRows(Component):
    """Sums of C activations times trits for R rows, each as ``total + carry``.

    Parameters
    ----------
    rows : int
    columns : int
        A multiple of four.

    Attributes
    ----------
    activations : View, in
    nonzero, negative : Signal, in
        Row after row.
    totals : View, out
    carries : Signal, out

    Latency
        ``1 + ceil(log2 C)`` clocks.
    """

    def __init__(self, rows: int, columns: int) -> None:
        if columns % LANES_OF_A_CHAIN:
            raise ValueError(f"columns must be a multiple of {LANES_OF_A_CHAIN}, not {columns}")
        self.rows, self.columns = rows, columns
        self.levels = ceil_log2(columns)
        super().__init__(
            {
                "activations": In(ArrayLayout(signed(8), columns)),
                "nonzero": In(rows * columns),
                "negative": In(rows * columns),
                "totals": Out(ArrayLayout(signed(8 + self.levels), rows)),
                "carries": Out(rows),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # Lanes 2 and 3 of a chain meet their weights one and two clocks later; so must activations.
        late = [
            _delayed(m, activation, max(0, lane % LANES_OF_A_CHAIN - 1), f"activation_{lane}")
            for lane, activation in enumerate(self.activations)
        ]
        for row in range(self.rows):
            m.submodules[f"row_{row}"] = tree = Module()
            lanes = range(row * self.columns, (row + 1) * self.columns)
            terms = [
                self._chain(tree, [late[lane % self.columns] for lane in chain], chain)
                for chain in _batches(lanes, LANES_OF_A_CHAIN)
            ]
            total, carry = self._tree(tree, terms)
            m.d.comb += [self.totals[row].eq(total), self.carries[row].eq(carry)]
        return m

    def _chain(
        self, m: Module, activations: list[Value], lanes: Sequence[int]
    ) -> tuple[Signal, Signal]:
        first, *others = lanes
        nonzero, negative = self.nonzero[first], self.negative[first]
        total = activations[0].as_unsigned() & nonzero.replicate(8) ^ negative.replicate(8)
        for clock, (lane, activation) in enumerate(zip(others, activations[1:], strict=True)):
            name = f"chain_{first}_{clock}"
            bits = 9 if clock == 0 else 10
            trit = _delayed(m, Cat(self.nonzero[lane], self.negative[lane]), clock, f"trit_{lane}")
            a, b = _extend(total.as_signed(), bits), _extend(activation, bits)
            sums = _chain_sum(
                m, name, _TERNARY, [(a[n], b[n], trit[0], trit[1]) for n in range(bits)], trit[1]
            )
            total = Signal(signed(bits), name=name, reset_less=True)
            m.d.sync += total.eq(sums)
        return total, _delayed(m, negative, 3, f"carry_{first}")

    def _tree(self, m: Module, terms: list[tuple[Signal, Signal]]) -> tuple[Signal, Signal]:
        for level in range(3, self.levels + 1):
            sums = []
            for index, pair in enumerate(_batches(terms, 2)):
                name, bits = f"sum_{level}_{index}", 8 + level
                (a, carry_a), *more = pair
                total = Signal(signed(bits), name=name, reset_less=True)
                if more:
                    b, carry = more[0]
                    left, right = _extend(a, bits), _extend(b, bits)
                    inputs = [(left[n], right[n], C(1), C(1)) for n in range(bits)]
                    m.d.sync += total.eq(_chain_sum(m, name, _PLUS, inputs, carry_a))
                else:  # the odd one out waits a level
                    carry = carry_a
                    m.d.sync += total.eq(a)
                sums.append((total, _delayed(m, carry, 1, f"{name}_carry")))
            terms = sums
        return terms[0]


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _delayed(m: Module, value: Value, clocks: int, name: str) -> Value:
    return delay_line(m, value, clocks, name, reset_less=True)[-1]


def _extend(value: Value, bits: int) -> Value:
    return Cat(value, value[-1].replicate(bits - len(value)))


def _chain_sum(
    m: Module, name: str, table: int, inputs: list[tuple[Value, ...]], carry: Value
) -> Value:
    """Put tables on a carry chain, two to a CCU2C, behind a half that brings in the carry."""
    one = C(1)
    halves = [(_CARRY_IN, (carry, one, one, one)), *((table, bit) for bit in inputs)]
    if len(halves) % 2:
        halves.append((0, (one, one, one, one)))
    outputs, carry_out = Signal(len(halves), name=f"{name}_outputs"), None
    for number, pair in enumerate(_batches(halves, 2)):
        pins = {
            f"i_{pin}{half}": bit
            for half, (_, bits) in enumerate(pair)
            for pin, bit in zip("ABCD", bits, strict=True)
        }
        if carry_out is not None:  # the first one's carry input is of no account
            pins["i_CIN"] = carry_out
        carry_out = Signal(name=f"{name}_carry_{number}")
        m.submodules[f"{name}_{number}"] = Instance(
            "CCU2C",
            p_INIT0=C(pair[0][0], 16),
            p_INIT1=C(pair[1][0], 16),
            p_INJECT1_0="NO",
            p_INJECT1_1="NO",
            **pins,
            o_S0=outputs[2 * number],
            o_S1=outputs[2 * number + 1],
            o_COUT=carry_out,
        )
    return outputs[1 : 1 + len(inputs)]
