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

from sterna_sim.ways import Place, mode_of

__all__ = ["Tiles"]

_SITE = re.compile(r"X\d+/Y\d+/(?:SLICE[A-D]\.(?:(?:K|FF)[01]|RAMW)|EBR\d)")
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
        Of each table, flip-flop and block RAM.
    """

    def __init__(self, cells: Mapping[str, Any]) -> None:
        self._cells = cells
        self.site: dict[str, str] = {}
        self._at: dict[str, str] = {}
        self._of_tile: dict[Place, set[str]] = defaultdict(set)
        self._columns: set[int] = set()
        self._rows: set[int] = set()
        self._with_ram: set[Place] = set()
        for name, cell in cells.items():
            site = cell["attributes"].get("NEXTPNR_BEL", "")
            if _SITE.fullmatch(site):
                self._put(name, _tile(site), site)
                if cell["type"] == "TRELLIS_RAMW" or mode_of(cell) == "DPRAM":
                    self._with_ram.add(_tile(site))
                if cell["type"] in ("TRELLIS_COMB", "TRELLIS_FF"):
                    self._columns.add(_tile(site)[0])
                    self._rows.add(_tile(site)[1])

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

    def swap(self, one: str, other: str) -> None:
        """Let two block RAMs stand in each other's place."""
        sites = self._take(other), self._take(one)
        for name, site in zip((one, other), sites, strict=True):
            self._put(name, _tile(site), site)

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
