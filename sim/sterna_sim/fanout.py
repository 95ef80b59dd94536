"""Copies of the cells whose nets have many loads: each copy drives those that lie together.

A net that spans the chip is routed as one tree, and the way along its branches can be several times
the way to the cell (11 ns to a place seven tiles away have been seen). Neither Yosys nor nextpnr
copies a driver. Where the loads lie is known from a first placement; the copies, and everything
else, are then placed anew.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

__all__ = ["MOST_LOADS", "copy_drivers", "places"]

MOST_LOADS = 40
"""Loads that a cell keeps. Of a netlist whose wires end on 63 000 cells some 300 nets have more."""

_OUTPUTS = {"LUT4": "Z", "TRELLIS_FF": "Q"}
"""What is copied: tables and flip-flops."""

_GLOBAL_LOADS = ("DCCA", "EHXPLLL")
_SITE = re.compile(r"X(\d+)/Y(\d+)/")
_PARTS = re.compile(r"\$(?:CCU2|DPRAM|RAMW)")
"""Begins what nextpnr adds to a cell's name when it takes the cell apart."""

Place = tuple[int, int]
Load = tuple[str, str, int]
"""Cell, port and line of the port."""


def places(placed: Mapping[str, Any]) -> dict[str, Place]:
    """Return column and row of each cell of a placed design, by the names before packing."""
    found: dict[str, Place] = {}
    for name, cell in placed.items():
        site = _SITE.match(cell["attributes"].get("NEXTPNR_BEL", ""))
        if site:
            found.setdefault(_PARTS.split(name)[0], (int(site[1]), int(site[2])))
    return found


def copy_drivers(module: dict[str, Any], where: Mapping[str, Place], most: int = MOST_LOADS) -> int:
    """Copy each table and flip-flop that drives more loads than `most`; return the copies made.

    Loads without a place, clocks and loads of global buffers stay with the cell itself.

    Parameters
    ----------
    module : dict
        A flat netlist in Yosys' JSON, changed in place.
    where : mapping
        Place of each cell. A site that the netlist itself asks for goes before.
    most : int
        At least 8, as cells of one tile, which share their enables, are not parted.
    """
    cells = module["cells"]
    place = dict(where)
    for name, cell in cells.items():
        site = _SITE.match(cell["attributes"].get("BEL", ""))
        if site:
            place[name] = int(site[1]), int(site[2])
    driver, loads = _nets(cells)
    bits = [bit for net in module["netnames"].values() for bit in net["bits"]]
    fresh = count(1 + max(bit for bit in [*bits, *driver, *loads] if isinstance(bit, int)))
    copies = 0
    for bit in sorted(loads, key=lambda bit: -len(loads[bit])):
        name = driver.get(bit)
        output = _OUTPUTS.get(cells[name]["type"]) if name else None
        if not output or len(loads[bit]) <= most or _is_global(cells, loads[bit]):
            continue
        placed = [load for load in loads[bit] if load[0] in place]
        for group in _parts(placed, place, most)[1:]:
            copies += 1
            twin, net = f"{name}_copy_{copies}", next(fresh)
            cells[twin] = copy.deepcopy(cells[name])
            cells[twin]["attributes"].pop("BEL", None)
            cells[twin]["connections"][output] = [net]
            columns, rows = zip(*(place[load[0]] for load in group), strict=True)
            place[twin] = sorted(columns)[len(group) // 2], sorted(rows)[len(group) // 2]
            for cell, port, line in group:
                cells[cell]["connections"][port][line] = net
            for load, source in _inputs(twin, cells[twin]):
                loads[source].append(load)
    return copies


def _nets(cells: Mapping[str, Any]) -> tuple[dict[int, str], dict[int, list[Load]]]:
    """Return the driver and the loads of each net."""
    driver: dict[int, str] = {}
    loads: dict[int, list[Load]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                driver.update((bit, name) for bit in bits if isinstance(bit, int))
        for load, bit in _inputs(name, cell):
            loads[bit].append(load)
    return driver, loads


def _inputs(name: str, cell: Mapping[str, Any]) -> Iterable[tuple[Load, int]]:
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == "input":
            yield from (
                ((name, port, n), bit) for n, bit in enumerate(bits) if isinstance(bit, int)
            )


def _is_global(cells: Mapping[str, Any], loads: Iterable[Load]) -> bool:
    return any(
        cells[name]["type"] in _GLOBAL_LOADS or port.startswith(("CLK", "WCK"))
        for name, port, _ in loads
    )


def _parts(loads: list[Load], place: Mapping[str, Place], most: int) -> list[list[Load]]:
    """Part loads along their longer side until none has more than `most`, tile by tile."""
    if len(loads) <= most:
        return [loads]
    sides = [[place[name][axis] for name, _, _ in loads] for axis in (0, 1)]
    spans = [max(side) - min(side) for side in sides]
    axis = int(spans[1] > spans[0])

    def key(load: Load) -> Place:
        return place[load[0]][axis], place[load[0]][1 - axis]

    ordered = sorted(loads, key=key)
    parts = -(-len(ordered) // most)
    middle = len(ordered) * (parts // 2) // parts
    cuts = [n for n in range(1, len(ordered)) if key(ordered[n]) != key(ordered[n - 1])]
    if not cuts:
        return [ordered]
    cut = min(cuts, key=lambda n: abs(n - middle))
    return _parts(ordered[:cut], place, most) + _parts(ordered[cut:], place, most)
