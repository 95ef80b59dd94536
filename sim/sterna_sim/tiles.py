"""Which tables and flip-flops of an ECP5 may stand where.

Tiles of logic are where a column and a row of them meet; block RAMs and multipliers have rows of
their own. A tile has four slices of two tables and two flip-flops. What shares a slice or a tile
shares its control. nextpnr does not look at the sites that it is given, so the rules here are
narrower than its own: all flip-flops of a tile have one clock and one reset, and nothing is put
beside LUTRAM.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from sterna_sim.ways import Place, is_fixed, mode_of

__all__ = ["Tiles"]

_SITE = re.compile(r"X\d+/Y\d+/(?:SLICE[A-D]\.(?:(?:K|FF)[01]|RAMW)|EBR\d|MULT18_\d)")
_PAIRS = tuple(f"{part}{half}" for part in "ABCD" for half in "01")
"""A table and a flip-flop each: the table's output goes straight to the flip-flop."""
_CONTROL = "CLKMUX", "LSRMUX", "SRMODE", "GSR"


class Tiles:
    """The tiles of all rows and columns in which a placer has put logic, and what stands in them.

    Parameters
    ----------
    cells : mapping
        As nextpnr writes them when it has placed them.

    Attributes
    ----------
    site : dict
        Of each table, flip-flop, block RAM and multiplier.
    """

    def __init__(self, cells: Mapping[str, Any]) -> None:
        self._cells = cells
        self.site: dict[str, str] = {}
        self._at: dict[str, str] = {}
        self._of_tile: dict[Place, set[str]] = defaultdict(set)
        self._columns: set[int] = set()
        self._rows: set[int] = set()
        self._with_ram: set[Place] = set()
        self._fixed: set[Place] = set()
        self._goes_on: set[str] = set()
        for name, cell in cells.items():
            site = cell["attributes"].get("NEXTPNR_BEL", "")
            if _SITE.fullmatch(site):
                self._put(name, _tile(site), site)
                if cell["type"] == "TRELLIS_RAMW" or mode_of(cell) == "DPRAM":
                    self._with_ram.add(_tile(site))
                if cell["type"] in ("TRELLIS_COMB", "TRELLIS_FF"):
                    self._columns.add(_tile(site)[0])
                    self._rows.add(_tile(site)[1])
                if is_fixed(cell):
                    self._fixed.add(_tile(site))
        carry = {
            cell["connections"]["FCO"][0]: name
            for name, cell in cells.items()
            if name in self.site and cell["connections"].get("FCO")
        }
        for name in self.site:
            before = carry.get(_net(cells[name], "FCI"))
            if before and _tile(self.site[before]) != _tile(self.site[name]):
                self._goes_on.add(name)

    def __contains__(self, tile: Place) -> bool:
        column, row = tile
        return column in self._columns and row in self._rows and tile not in self._with_ram

    def move(self, unit: tuple[str, ...], tile: Place) -> bool:
        """Move a table, a flip-flop, or both, to another tile, if there is room; tell whether."""
        pair = next(self._free(unit, tile), None)
        if pair is None:
            return False
        for name in unit:
            self._take(name)
        for name in unit:
            self._put(name, tile, self._site(name, tile, pair))
        return True

    def add(self, name: str, tile: Place) -> Place:
        """Put a new table or flip-flop into the nearest tile that has room; return that."""
        for away in range(max(self._columns) + max(self._rows)):
            for right in range(-away, away + 1):
                for down in {away - abs(right), abs(right) - away}:
                    one = tile[0] + right, tile[1] + down
                    if self.move((name,), one):
                        return one
        raise ValueError(f"no room for {name}")

    def stand(self, sites: Mapping[str, str]) -> None:
        """Let cells stand at some sites, which are free or those of others among them."""
        for name in sites:
            self._take(name)
        for name, site in sites.items():
            self._put(name, _tile(site), site)

    def swap(self, one: str, other: str) -> None:
        """Let two blocks of a kind stand in each other's place."""
        self.stand({one: self.site[other], other: self.site[one]})

    def run(self, tile: Place) -> list[Place]:
        """Return the tiles that must stay side by side, as carries go on from one to the next."""
        (first, row), last = tile, tile[0]
        while self._hangs((first, row)):
            first -= 1
        while self._hangs((last + 1, row)):
            last += 1
        return [(column, row) for column in range(first, last + 1)]

    def may_exchange(self, run: list[Place], others: list[Place]) -> bool:
        """Tell whether all that stands in some tiles may stand in others, and the reverse."""
        after = others[-1][0] + 1, others[-1][1]
        return (
            not set(run) & set(others)
            and not self._hangs(others[0])
            and not self._hangs(after)
            and all(
                column in self._columns and row in self._rows and (column, row) not in self._fixed
                for column, row in run + others
            )
        )

    def exchange(self, run: list[Place], others: list[Place]) -> dict[str, Place]:
        """Let all that stands in tiles and in others change places; return each cell's tile."""
        moved = self.exchanged(run, others)
        self.stand({name: self._in(self.site[name], tile) for name, tile in moved.items()})
        for one, other in zip(run, others, strict=True):
            if (one in self._with_ram) != (other in self._with_ram):
                self._with_ram ^= {one, other}
        return moved

    def exchanged(self, run: list[Place], others: list[Place]) -> dict[str, Place]:
        """Return the tile that each cell would have after `exchange`."""
        there = dict(zip(run + others, others + run, strict=True))
        return {name: tile for here, tile in there.items() for name in sorted(self._of_tile[here])}

    def _hangs(self, tile: Place) -> bool:
        """Tell whether a carry chain comes into a tile from the one on its left."""
        return self._at.get(f"X{tile[0]}/Y{tile[1]}/SLICEA.K0") in self._goes_on

    def _free(self, unit: tuple[str, ...], tile: Place) -> Iterator[str]:
        """Yield the pairs of a tile that a unit may have."""
        if tile in self:
            for pair in _PAIRS:
                sites = [self._site(name, tile, pair) for name in unit]
                if not any(site in self._at for site in sites) and all(
                    self._fits(name, tile, pair) for name in unit
                ):
                    yield pair

    def _fits(self, name: str, tile: Place, pair: str) -> bool:
        """Tell whether a free site is one for a cell, beside what stands there."""
        cell = self._cells[name]
        beside = self._at.get(self._site(name, tile, f"{pair[0]}{1 - int(pair[1])}"))
        if cell["type"] == "TRELLIS_COMB":
            return beside is None or not mode_of(self._cells[beside])
        if beside is not None and _enable(self._cells[beside]) != _enable(cell):
            return False
        there = [
            self._cells[one]
            for one in self._of_tile[tile]
            if one != name and self._cells[one]["type"] == "TRELLIS_FF"
        ]
        return all(_control(one) == _control(cell) for one in there)

    def _put(self, name: str, tile: Place, site: str) -> None:
        self.site[name] = site
        self._at[site] = name
        self._of_tile[tile].add(name)

    def _take(self, name: str) -> str:
        """Take a cell out of its site, if it has one; return that."""
        site = self.site.pop(name, "")
        if site:
            del self._at[site]
            self._of_tile[_tile(site)].discard(name)
        return site

    def _site(self, name: str, tile: Place, pair: str) -> str:
        kind = "FF" if self._cells[name]["type"] == "TRELLIS_FF" else "K"
        return f"X{tile[0]}/Y{tile[1]}/SLICE{pair[0]}.{kind}{pair[1]}"

    @staticmethod
    def _in(site: str, tile: Place) -> str:
        return f"X{tile[0]}/Y{tile[1]}/{site.split('/')[2]}"


def _tile(site: str) -> Place:
    column, row, _ = site.split("/")
    return int(column[1:]), int(row[1:])


def _net(cell: Mapping[str, Any], port: str) -> Any:
    bits = cell["connections"].get(port)
    return bits[0] if bits else None


def _enable(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what flip-flops of a slice must share."""
    return _net(cell, "CE"), cell["parameters"].get("CEMUX")


def _control(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what flip-flops of a tile must share; nextpnr lets them have one reset only."""
    return (
        _net(cell, "CLK"),
        _net(cell, "LSR"),
        *(cell["parameters"].get(name) for name in _CONTROL),
    )
