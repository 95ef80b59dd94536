"""A placement whose late ways are made shorter.

nextpnr's placer makes all wires together as short as it can, and the last cells of a way that
decides over the clock may lie on the other side of the chip: its estimates for one netlist went
from 47 to 89 MHz by chance. Here drivers of many loads get copies among these. Then each table and
flip-flop on a late way is moved to where its own ways are least late, to a site that is free; block
RAMs and multipliers are exchanged; and where that is not enough, or a carry chain is late, all that
stands in a tile changes places with all that stands in another. Again and again, until nothing
moves that helps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sterna_sim.fanout import copy_drivers, leave_clock_nets
from sterna_sim.netlist import Netlist
from sterna_sim.tiles import Tiles
from sterna_sim.ways import Edge, Place, Ways, is_fixed, mode_of, place_of, wire_ns

__all__ = ["refine"]

_ROUNDS = 40
_AGAIN = 3
"""Rounds that may go by without a gain."""
_REACH = 4
"""Tiles around a good place that are looked at."""
_VERY = 1.1
"""What takes as many times what a way may take is very late."""
_NEARLY_NS = 1.5
"""Ways this much shorter than the longest of a cell say as well where it should be."""
_WORTH = 0.02
_NS_OF_WIRE = 0.002
"""Cost of a ns of wire, besides the squares of the ns by which ways are late: little."""

Unit = tuple[str, ...]
"""A table, a flip-flop, or a table and the flip-flop right behind it."""


def refine(module: dict[str, Any], aims_ns: Sequence[float], seed: int) -> None:
    """Copy drivers and move cells, so that fewer ways are late.

    Parameters
    ----------
    module : dict
        As nextpnr writes it when it has placed it. Changed in place.
    aims_ns : sequence of float
        What a way may take by the estimate of `sterna_sim.ways`; what takes longer is late. One
        after another: a low one shortens many ways, and the higher ones behind it the longest.
    seed : int
        Of the order in which late cells are moved.
    """
    cells = module["cells"]
    where = {name: place for name, cell in cells.items() if (place := place_of(cell))}
    leave_clock_nets(Netlist(module))
    copies = copy_drivers(Netlist(module), where)
    tiles = Tiles(cells)
    for name, place in copies.items():
        tiles.add(name, place)
        cells[name]["attributes"]["NEXTPNR_BEL"] = tiles.site[name]
    for aim_ns in aims_ns:
        for name, site in _Refinement(cells, tiles, aim_ns, seed).sites().items():
            cells[name]["attributes"]["NEXTPNR_BEL"] = site
        tiles = Tiles(cells)


class _Refinement:
    def __init__(self, cells: Mapping[str, Any], tiles: Tiles, aim_ns: float, seed: int) -> None:
        self._ways, self._tiles, self._aim = Ways(cells), tiles, aim_ns
        self._unit = _units(cells, self._ways)
        self._blocks = {
            kind: sorted(name for name, cell in cells.items() if cell["type"] == kind)
            for kind in ("DP16KD", "MULT18X18D")
        }
        self._chains = {name for name in self._ways.tables if mode_of(cells[name])}
        self._chance = random.Random(seed)

    def sites(self) -> dict[str, str]:
        """Return the sites of what can be moved when fewest ways are late."""
        best, sites, stayed = self._lateness(), dict(self._tiles.site), 0
        for _ in range(_ROUNDS):
            if not best or stayed == _AGAIN:
                break
            self._exchange()
            self._round()
            late = self._lateness()
            stayed = 0 if late < 0.995 * best else stayed + 1
            if late < best:
                best, sites = late, dict(self._tiles.site)
        return sites

    def _lateness(self) -> float:
        return sum((ns - self._aim) ** 2 for ns in self._ways.measure() if ns > self._aim)

    def _round(self) -> None:
        """Move what is late, in any order; what is of no use by itself goes with its neighbour.

        What is very late still goes with all that stands in its tile: carry chains can't otherwise.
        """
        longest, stuck = self._ways.longest, set[str]()
        late = {unit for name, unit in self._unit.items() if longest(name) > self._aim}
        for unit in self._chance.sample(sorted(late), len(late)):
            if not self._improve((unit,)):
                both = self._with_neighbour(unit)
                if not (len(both) > 1 and self._improve(both)):
                    stuck.add(unit[0])
        self._ways.measure()
        for name in sorted(stuck | self._chains):
            if longest(name) > _VERY * self._aim:
                self._exchange_tiles(name)

    def _improve(self, units: tuple[Unit, ...]) -> bool:
        """Move units to the tile where their ways are least late; tell whether there is one."""
        names = tuple(name for unit in units for name in unit)
        worth = self._cost(self._at(names)) - _WORTH
        costs = (
            (self._cost(dict.fromkeys(names, tile), worth), tile)
            for tile in self._tempting(names)
            if tile in self._tiles
        )
        for cost, tile in sorted(costs):
            if cost >= worth:
                break
            if self._move(units, tile):
                self._stand(dict.fromkeys(names, tile))
                return True
        return False

    def _move(self, units: tuple[Unit, ...], tile: Place) -> bool:
        """Move all units to a tile, or none."""
        before = {name: self._tiles.site[name] for unit in units for name in unit}
        if all(self._tiles.move(unit, tile) for unit in units):
            return True
        self._tiles.stand(before)
        return False

    def _stand(self, at: Mapping[str, Place]) -> None:
        """Take down where cells stand now; what is moved next is to know when they are heard."""
        self._ways.place.update(at)
        for name in at:
            if name in self._ways.tables:
                self._ways.listen(name)

    def _exchange_tiles(self, name: str) -> None:
        """Let the tile of a cell, and those that carries join to it, change places with others."""
        here, tiles = self._ways.place[name], self._tiles
        run = tiles.run(here)
        choice: list[Place] = []
        won = _WORTH
        for tile in sorted(self._tempting((name,))):
            right, down = tile[0] - here[0], tile[1] - here[1]
            others = [(column + right, row + down) for column, row in run]
            if tiles.may_exchange(run, others):
                at = self._early(tiles.exchanged(run, others))
                now = self._cost(self._at(tuple(at)))
                gain = now - self._cost(at, now - won)
                if gain > won:
                    won, choice = gain, others
        if choice:
            self._stand(self._early(tiles.exchange(run, choice)))

    def _early(self, at: Mapping[str, Place]) -> dict[str, Place]:
        """Return cells that ways know, those that are heard first before the others."""
        arrive = self._ways.arrive
        known = (name for name in at if name in arrive)
        return {
            name: at[name]
            for name in sorted(
                known, key=lambda name: (name not in self._ways.tables, arrive[name])
            )
        }

    def _at(self, names: tuple[str, ...]) -> dict[str, Place]:
        return {name: self._ways.place[name] for name in names}

    def _exchange(self) -> None:
        """Let each block on a late way stand in the place of the one with which most is won."""
        ways = self._ways
        late = [
            (one, alike)
            for alike in self._blocks.values()
            for one in alike
            if ways.longest(one) > self._aim
        ]
        for one, alike in late:
            here = ways.place[one]
            now = self._cost({one: here})
            gains = (
                (
                    now
                    + self._cost({other: there})
                    - self._cost({one: there})
                    - self._cost({other: here}),
                    other,
                )
                for other in alike
                if (there := ways.place[other]) != here
            )
            won, other = max(gains, default=(0.0, one))
            if won > _WORTH:
                self._tiles.swap(one, other)
                ways.place[one], ways.place[other] = ways.place[other], here

    def _ends(self, names: tuple[str, ...]) -> list[tuple[float, bool, str]]:
        """Return ns, side (behind is true) and cell of each way from and to outside."""
        ways = self._ways

        def way(end: str, edge: Edge) -> float:
            return ways.until(end, edge) + (0.0 if edge[3] else ways.remain[end])

        before = [
            (way(name, edge), False, edge[0])
            for name in names
            for edge in ways.before[name]
            if edge[0] not in names
        ]
        after = [
            (way(other, (name, *edge)), True, other)
            for name in names
            for other, *edge in ways.after[name]
            if other not in names
        ]
        return before + after

    def _with_neighbour(self, unit: Unit) -> tuple[Unit, ...]:
        """Return a unit and the one beside it on its longest way, in the order of the way."""
        ends = [end for end in self._ends(unit) if end[2] in self._unit]
        if not ends:
            return (unit,)
        _, behind, other = max(ends)
        return (unit, self._unit[other]) if behind else (self._unit[other], unit)

    def _tempting(self, names: tuple[str, ...]) -> Iterator[Place]:
        """Yield tiles at which the ways of some cells may be shorter."""
        ways, here = self._ways, self._ways.place[names[0]]
        ends = self._ends(names)
        least = max(ends)[0] - _NEARLY_NS
        places = [ways.place[other] for ns, _, other in ends if ns > least]
        columns, rows = (sorted(axis) for axis in zip(*places, strict=True))
        median = columns[len(columns) // 2], rows[len(rows) // 2]
        middle = (columns[0] + columns[-1]) // 2, (rows[0] + rows[-1]) // 2
        half = (here[0] + median[0]) // 2, (here[1] + median[1]) // 2
        around = range(-_REACH, _REACH + 1)
        tiles = {
            (column + right, row + down)
            for column, row in (median, middle, half, here)
            for right in around
            for down in around
        }
        yield from (tile for tile in tiles if tile != here)

    def _cost(self, at: Mapping[str, Place], enough: float = math.inf) -> float:
        """Return how late the ways of cells would be in some tiles, squared.

        A cost that is `enough` or more need not be exact.
        """
        ways, aim, cost = self._ways, self._aim, 0.0
        arrive: dict[str, float] = {}
        for name, here in at.items():
            is_table, heard = name in ways.tables, 0.0
            for source, ns, wired, ends in ways.before[name]:
                there = at.get(source) or ways.place[source]
                wire = wire_ns(there, here, source in ways.tables) if wired else 0.0
                until = arrive.get(source, ways.arrive[source]) + wire + ns
                cost += _NS_OF_WIRE * wire
                if not ends:
                    heard = max(heard, until)
                elif until > aim:
                    cost += (until - aim) ** 2
            arrive[name] = heard if is_table else ways.arrive[name]
            for other, ns, wired, ends in ways.after[name]:
                if other not in at:
                    wire = wire_ns(here, ways.place[other], is_table) if wired else 0.0
                    until = arrive[name] + wire + ns + (0.0 if ends else ways.remain[other])
                    cost += _NS_OF_WIRE * wire
                    if until > aim:
                        cost += (until - aim) ** 2
                        if cost >= enough:
                            return cost
            if cost >= enough:
                break
        return cost


def _units(cells: Mapping[str, Any], ways: Ways) -> dict[str, Unit]:
    """Return the unit of each cell that may be moved.

    A flip-flop that takes what the table before it gives goes with that table. Constants come from
    tables that are on no way: such a flip-flop stays with its own.
    """
    units: dict[str, Unit] = {name: (name,) for name in ways.place}
    for name in ways.place:
        behind = [edge[0] for edge in ways.before[name] if edge[3] and not edge[2]]
        if behind:
            units[behind[0]] = units[name] = behind[0], name
    return {
        name: unit
        for name, unit in units.items()
        if all(_may_move(cells[one]) for one in unit)
        and not (len(unit) == 1 and cells[name]["connections"].get("DI"))
        and any(ways.before[one] or ways.after[one] for one in unit)
    }


def _may_move(cell: Mapping[str, Any]) -> bool:
    plain = cell["type"] in ("TRELLIS_COMB", "TRELLIS_FF") and not mode_of(cell)
    return plain and not is_fixed(cell)
