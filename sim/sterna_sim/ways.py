"""How late the ways of a placed ECP5 are, before its wires are known.

A way leads from a register through tables to the next one. What its wires will take is guessed from
the tiles in between, as nextpnr guesses it when it has placed a netlist; the longest way of the
reference came out within 2 % of what nextpnr said of it, for four placements of 11 to 21 ns.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

__all__ = ["Place", "Ways", "is_fixed", "mode_of", "place_of", "wire_ns"]

Place = tuple[int, int]
"""Column and row of a tile."""

_SITE = re.compile(r"X(\d+)/Y(\d+)/")

_NEAR, _STEP_NS, _ENDS = 5, 0.08, 6
"""A wire costs two steps a tile for the first few tiles, one for those beyond, and its two ends."""

_TABLE_NS, _INTO_CARRY_NS, _CARRY_NS = 0.24, 0.45, 0.07
_SETUP_NS, _BEHIND_TABLE_NS = 0.20, 0.05
_REGISTER_NS, _BLOCK_RAM_NS, _MULTIPLIER_NS = 0.52, 5.6, 3.9
_OUTPUT_REGISTER_NS = 1.0
_THROUGH_MULTIPLIER_NS = 3.5
"""Setup of a multiplier that has no registers in front."""

_CLOCKS = frozenset(("CLK", "CLKA", "CLKB", "WCK", "CLK0", "CLK1", "CLK2", "CLK3"))
_WRITES = frozenset(("WRE", "WD", "WAD0", "WAD1", "WAD2", "WAD3"))
"""Inputs of a LUTRAM that its output does not follow at once."""
_KINDS = frozenset(("TRELLIS_COMB", "TRELLIS_FF", "TRELLIS_RAMW", "DP16KD", "MULT18X18D"))
_CONSTANTS = "$PACKER"
"""Begins the names of the cells that nextpnr makes for constants."""

Edge = tuple[str, float, bool, bool]
"""Other cell, ns besides the wire, whether there is a wire (inside a chain and behind a table there
is none), and whether the way ends there."""


def place_of(cell: Mapping[str, Any]) -> Place | None:
    """Return the tile of a placed cell."""
    site = _SITE.match(cell["attributes"].get("NEXTPNR_BEL", ""))
    return (int(site[1]), int(site[2])) if site else None


def mode_of(cell: Mapping[str, Any]) -> str:
    """Return what a table is besides a table, `CCU2` or `DPRAM`."""
    return cell["parameters"].get("MODE", "").strip()


def is_fixed(cell: Mapping[str, Any]) -> bool:
    """Tell whether the netlist itself asks for the cell's site."""
    return "BEL" in cell["attributes"]


def wire_ns(one: Place, other: Place, from_table: bool) -> float:
    """Return what a wire between two tiles takes; a table is led on in its own tile at once."""
    columns, rows = abs(one[0] - other[0]), abs(one[1] - other[1])
    if not columns and not rows and from_table:
        return 0.0
    near = min(columns, _NEAR) + min(rows, _NEAR)
    return _STEP_NS * (_ENDS + columns + rows + near)


class Ways:
    """All ways of a placed netlist.

    Parameters
    ----------
    cells : mapping
        As nextpnr writes them when it has placed them.

    Attributes
    ----------
    place : dict
        Tile of each cell; who moves one changes it here.
    tables : set
        Cells that ways lead through; others begin and end them.
    before, after : dict
        Edges to and from each cell.
    arrive, remain : dict
        ns from a register to a cell's output, and from there to the end of the longest way.
        Those of the last `measure`.
    """

    def __init__(self, cells: Mapping[str, Any]) -> None:
        used = {
            name: cell
            for name, cell in cells.items()
            if cell["type"] in _KINDS and not name.startswith(_CONSTANTS)
        }
        self.place = {name: place_of(cell) or (0, 0) for name, cell in used.items()}
        self.tables = {name for name, cell in used.items() if cell["type"] == "TRELLIS_COMB"}
        self.before: dict[str, list[Edge]] = {name: [] for name in used}
        self.after: dict[str, list[Edge]] = {name: [] for name in used}
        self.arrive = {name: _start(used[name]) for name in used.keys() - self.tables}
        self.remain: dict[str, float] = {}
        driver = {
            bits[0]: name
            for name, cell in used.items()
            for port, bits in cell["connections"].items()
            if bits and cell["port_directions"][port] == "output"
        }
        for name, cell in used.items():
            for port, bits in cell["connections"].items():
                source = driver.get(bits[0]) if bits else None
                if source and port not in _CLOCKS and cell["port_directions"][port] == "input":
                    edge = _edge(cell, port)
                    self.before[name].append((source, *edge))
                    self.after[source].append((name, *edge))
        self._order = self._sorted()

    def measure(self) -> list[float]:
        """Measure all ways anew; return ns of the longest to each end, longest first."""
        self.remain = dict.fromkeys(self.place, 0.0)
        for name in self._order:
            self.listen(name)
        ends: list[float] = []
        for name, edges in self.before.items():
            for edge in edges:
                if edge[3]:
                    ends.append(self.until(name, edge))
                    source, rest = edge[0], ends[-1] - self.arrive[edge[0]]
                    self.remain[source] = max(self.remain[source], rest)
        for name in reversed(self._order):
            if self.remain[name]:
                for edge in self.before[name]:
                    if not edge[3]:
                        source = edge[0]
                        rest = self.until(name, edge) - self.arrive[source] + self.remain[name]
                        self.remain[source] = max(self.remain[source], rest)
        return sorted(ends, reverse=True)

    def listen(self, name: str) -> None:
        """Measure anew when a table is heard."""
        edges = (edge for edge in self.before[name] if not edge[3])
        self.arrive[name] = max((self.until(name, edge) for edge in edges), default=0.0)

    def until(self, name: str, edge: Edge) -> float:
        """Return the ns until a signal has come over an edge to a cell, and through it."""
        source, ns, wired, _ = edge
        wire = 0.0
        if wired:
            wire = wire_ns(self.place[source], self.place[name], source in self.tables)
        return self.arrive[source] + wire + ns

    def longest(self, name: str) -> float:
        """Return the ns of the longest way that a cell is on."""
        ends = (self.until(name, edge) for edge in self.before[name] if edge[3])
        return max(self.arrive[name] + self.remain[name], max(ends, default=0.0))

    def _sorted(self) -> list[str]:
        """Return the tables, each behind those that it hears."""
        waits = {
            name: sum(edge[0] in self.tables and not edge[3] for edge in self.before[name])
            for name in self.tables
        }
        ready = deque(sorted(name for name, count in waits.items() if not count))
        order: list[str] = []
        while ready:
            order.append(ready.popleft())
            for name, _, _, ends in self.after[order[-1]]:
                if not ends:
                    waits[name] -= 1
                    if not waits[name]:
                        ready.append(name)
        return order


def _edge(cell: Mapping[str, Any], port: str) -> tuple[float, bool, bool]:
    """Return ns, wire and end of what comes to a port."""
    if cell["type"] == "TRELLIS_COMB" and port not in _WRITES:
        if port == "FCI":
            return _CARRY_NS, False, False
        return (_INTO_CARRY_NS if mode_of(cell) == "CCU2" else _TABLE_NS), True, False
    if cell["type"] == "TRELLIS_FF" and port == "DI":
        return _BEHIND_TABLE_NS, False, True
    if cell["type"] == "MULT18X18D" and not _is_registered(cell, f"INPUT{port[0]}"):
        return _THROUGH_MULTIPLIER_NS, True, True
    return _SETUP_NS, True, True


def _start(cell: Mapping[str, Any]) -> float:
    """Return the ns from the clock to the output of a cell that begins ways."""
    parameters = cell["parameters"]
    if cell["type"] == "DP16KD":
        modes = {parameters.get(f"REGMODE_{side}", "").strip() for side in "AB"}
        return _OUTPUT_REGISTER_NS if "OUTREG" in modes else _BLOCK_RAM_NS
    if cell["type"] == "MULT18X18D":
        return _OUTPUT_REGISTER_NS if _is_registered(cell, "OUTPUT") else _MULTIPLIER_NS
    return _REGISTER_NS


def _is_registered(multiplier: Mapping[str, Any], side: str) -> bool:
    """Tell whether a multiplier has registers at a side, `INPUTA`, `INPUTB` or `OUTPUT`."""
    return multiplier["parameters"].get(f"REG_{side}_CLK", "NONE").strip() != "NONE"
