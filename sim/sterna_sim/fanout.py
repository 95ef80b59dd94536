"""Copies of the cells whose nets have many loads: each copy drives those that lie together.

A net that spans the chip is routed as one tree, and the way along its branches can be several times
the way to the cell (11 ns to a place seven tiles away have been seen). Neither Yosys nor nextpnr
copies a driver. Where the loads lie is known from a first placement; the copies, and everything
else, are then placed anew.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from sterna_sim.netlist import Bit, Load, Netlist

__all__ = ["MOST_LOADS", "copy_drivers", "places"]

MOST_LOADS = 40
"""Loads that a cell keeps. Of a netlist whose wires end on 63 000 cells some 300 nets have more."""

WIDEST, FEW = 48, 8
"""Tiles that the loads of a cell may span if there are more than `FEW`."""

_OUTPUTS = {"LUT4": "Z", "TRELLIS_FF": "Q"}
"""What is copied: tables and flip-flops."""

_PLACED = {"TRELLIS_DPR16X4": 3}
"""Loads that a net has of one cell, as it is taken apart: two tables and a port for writing."""

_GLOBAL_LOADS = ("DCCA", "EHXPLLL")
_SITE = re.compile(r"X(\d+)/Y(\d+)/")
_PARTS = re.compile(r"\$(?:CCU2|DPRAM|RAMW)")
"""Begins what nextpnr adds to a cell's name when it takes the cell apart."""

Place = tuple[int, int]


def places(placed: Mapping[str, Any]) -> dict[str, Place]:
    """Return column and row of each cell of a placed design, by the names before packing."""
    found: dict[str, Place] = {}
    for name, cell in placed.items():
        site = _SITE.match(cell["attributes"].get("NEXTPNR_BEL", ""))
        if site:
            found.setdefault(_PARTS.split(name)[0], (int(site[1]), int(site[2])))
    return found


def copy_drivers(netlist: Netlist, where: Mapping[str, Place], most: int = MOST_LOADS) -> int:
    """Copy each table and flip-flop whose loads are more than `most` or far from each other.

    Returns the number of copies made. Loads without a place, clocks and loads of global buffers
    stay with the cell itself.

    Parameters
    ----------
    netlist : Netlist
        Changed in place.
    where : mapping
        Place of each cell. A site that the netlist itself asks for goes before.
    most : int
        At least 8, as cells of one tile, which share their enables, are not parted.
    """
    cells, loads = netlist.cells, netlist.loads
    place = dict(where)
    for name, cell in cells.items():
        site = _SITE.match(cell["attributes"].get("BEL", ""))
        if site:
            place[name] = int(site[1]), int(site[2])
    bits = [bit for net in netlist.nets.values() for bit in net["bits"]]
    fresh = count(1 + max(bit for bit in [*bits, *netlist.driver, *loads] if isinstance(bit, int)))
    copies = 0
    # Of each net that was parted the nets of all its drivers.
    families: dict[Bit, dict[Bit, str]] = {}
    for bit in sorted(loads, key=lambda bit: -len(loads[bit])):
        name = netlist.driver.get(bit)
        output = _OUTPUTS.get(cells[name]["type"]) if name else None
        if not name or not output or _is_global(cells, loads[bit]):
            continue
        placed = [
            load
            for load in loads[bit]
            if load[0] in place
            for _ in range(_PLACED.get(cells[load[0]]["type"], 1))
        ]
        family: dict[Bit, str] = {bit: name}
        first, *others = _parts(placed, place, most)
        if others and "BEL" not in cells[name]["attributes"]:
            place[name] = _middle(first, place)
        for group in others:
            copies += 1
            twin, net = f"{name}_copy_{copies}", next(fresh)
            family[net] = twin
            cells[twin] = copy.deepcopy(cells[name])
            cells[twin]["attributes"].pop("BEL", None)
            cells[twin]["connections"][output] = [net]
            place[twin] = _middle(group, place)
            for cell, port in group:
                pins = cells[cell]["connections"]
                pins[port] = [net if pin == bit else pin for pin in pins[port]]
            for port, sources in cells[twin]["connections"].items():
                if port != output:
                    for source in sources:
                        loads[source].append((twin, port))
        if len(family) > 1:
            families.update(dict.fromkeys(family, family))
    # What those hear comes from the nearest: its driver may have been parted before.
    for name in {name for family in families.values() for name in family.values()}:
        for port, sources in cells[name]["connections"].items():
            if sources and sources[0] in families and port != _OUTPUTS[cells[name]["type"]]:
                drivers = families[sources[0]]
                sources[:] = [min(drivers, key=lambda net: _way(place, name, drivers[net]))]
    return copies


def _middle(group: list[Load], place: Mapping[str, Place]) -> Place:
    """Return the column and the row that have as many loads on one side as on the other."""
    columns, rows = zip(*(place[load[0]] for load in group), strict=True)
    return sorted(columns)[len(group) // 2], sorted(rows)[len(group) // 2]


def _way(place: Mapping[str, Place], one: str, other: str) -> int:
    """Return the tiles between two cells."""
    return sum(abs(a - b) for a, b in zip(place[one], place[other], strict=True))


def _is_global(cells: Mapping[str, Any], loads: Iterable[Load]) -> bool:
    return any(
        port.startswith(("CLK", "WCK")) or (name and cells[name]["type"] in _GLOBAL_LOADS)
        for name, port in loads
    )


def _parts(loads: list[Load], place: Mapping[str, Place], most: int) -> list[list[Load]]:
    """Part loads along their longer side until no part has too many or is too wide.

    Loads of one tile stay together.
    """
    if len(loads) <= min(most, FEW):
        return [loads]
    sides = [[place[name][axis] for name, _ in loads] for axis in (0, 1)]
    spans = [max(side) - min(side) for side in sides]
    if len(loads) <= most and max(spans) <= WIDEST:
        return [loads]
    axis = int(spans[1] > spans[0])

    def key(load: Load) -> Place:
        return place[load[0]][axis], place[load[0]][1 - axis]

    ordered = sorted(loads, key=key)
    parts = max(2, -(-len(ordered) // most))
    middle = len(ordered) * (parts // 2) // parts
    cuts = [n for n in range(1, len(ordered)) if key(ordered[n]) != key(ordered[n - 1])]
    if not cuts:
        return [ordered]
    cut = min(cuts, key=lambda n: abs(n - middle))
    return _parts(ordered[:cut], place, most) + _parts(ordered[cut:], place, most)
