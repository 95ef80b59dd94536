"""Copies of the cells whose nets have many loads: each copy drives those that lie together.

A net that spans the chip is routed as one tree, and the way along its branches can be several times
the way to the cell (11 ns to a place seven tiles away have been seen). Neither Yosys nor nextpnr
copies a driver. Where the loads lie is known when all has been placed; the copies are put among
them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from sterna_sim.netlist import Bit, Load, Netlist
from sterna_sim.ways import Place, mode_of

__all__ = ["USUAL", "Limits", "copy_drivers", "leave_clock_nets"]

_OUTPUTS = {"LUT4": "Z", "TRELLIS_COMB": "F", "TRELLIS_FF": "Q"}
"""What is copied: tables and flip-flops, as Yosys and as nextpnr calls them."""

_INTO_BUFFER = "CLKI"
"""Input of a clock buffer, which resets go through as well."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many loads a cell keeps, and of more than `few` only those within `widest` tiles.

    `most` is at least 8, as cells of one tile, which share their enables, are not parted.
    """

    most: int
    few: int
    widest: int


USUAL = Limits(most=40, few=8, widest=48)
"""Of a netlist whose wires end on 63 000 cells some 300 nets have more than 40 loads."""


def copy_drivers(
    netlist: Netlist,
    where: Mapping[str, Place],
    limits: Limits = USUAL,
) -> dict[str, Place]:
    """Copy each table and flip-flop whose loads are too many or too far from each other.

    Returns a place for each copy, in the middle of its loads. Loads without a place, clocks and
    loads of global buffers stay with the cell itself, and so do the loads nearest to it.

    Parameters
    ----------
    netlist : Netlist
        Changed in place.
    where : mapping
        Place of each cell.
    limits : Limits
    """
    cells, loads = netlist.cells, netlist.loads
    place = dict(where)
    bits = [bit for net in netlist.nets.values() for bit in net["bits"]]
    fresh = count(1 + max(bit for bit in [*bits, *netlist.driver, *loads] if isinstance(bit, int)))
    copies: dict[str, Place] = {}
    # Of each net that was parted the nets of all its drivers.
    families: dict[Bit, dict[Bit, str]] = {}
    for bit in sorted(loads, key=lambda bit: -len(loads[bit])):
        name = netlist.driver.get(bit)
        if not name or not _is_copied(cells[name]) or _is_clock(loads[bit]):
            continue
        family: dict[Bit, str] = {bit: name}
        leaving = [load for load in loads[bit] if _may_leave(cells, load, place)]
        groups = _parts(leaving, place, limits)
        if len(groups) > 1 and name in place:
            groups.sort(key=lambda group: _between(_middle(group, place), place[name]))
        for group in groups[1:]:
            net = next(fresh)
            twin = f"{name}_copy_{net}"
            family[net] = twin
            cells[twin] = _twin(cells[name], net)
            copies[twin] = place[twin] = _middle(group, place)
            for cell, port in group:
                pins = cells[cell]["connections"]
                pins[port] = [net if pin == bit else pin for pin in pins[port]]
            for port, sources in _inputs(cells[twin]):
                for source in sources:
                    loads[source].append((twin, port))
        if len(family) > 1:
            families.update(dict.fromkeys(family, family))
    # What copies hear comes from the nearest: its driver may have been parted before.
    for name in copies:
        for _, sources in _inputs(cells[name]):
            if sources and sources[0] in families:
                drivers = families[sources[0]]
                here = place[name]
                sources[:] = [min(drivers, key=lambda net: _between(here, place[drivers[net]]))]
    return copies


def leave_clock_nets(netlist: Netlist) -> None:
    """Let tables hear what drives a clock buffer instead of the buffer.

    The way from a clock's net into logic is found before all others, and may take the wire that
    another input of the table needs.
    """
    cells = netlist.cells
    for cell in cells.values():
        if cell["type"] == "TRELLIS_COMB":
            for port in "ABCD":
                for bit in cell["connections"].get(port, ()):
                    buffer = cells.get(netlist.driver.get(bit, ""))
                    if buffer and buffer["type"] == "DCCA":
                        cell["connections"][port] = list(buffer["connections"][_INTO_BUFFER])


def _inputs(cell: Mapping[str, Any]) -> list[tuple[str, list[Bit]]]:
    """Return ports and nets of what a table or a flip-flop hears."""
    output = _OUTPUTS[cell["type"]]
    return [(port, bits) for port, bits in cell["connections"].items() if port != output]


def _is_copied(cell: Mapping[str, Any]) -> bool:
    return cell["type"] in _OUTPUTS and not mode_of(cell)


def _twin(cell: Mapping[str, Any], net: int) -> dict[str, Any]:
    """Return a copy of a cell that drives another net.

    A flip-flop that nextpnr has put right behind a table hears it from outside in the copy.
    """
    twin = copy.deepcopy(dict(cell))
    for site in ("BEL", "NEXTPNR_BEL"):
        twin["attributes"].pop(site, None)
    pins = twin["connections"]
    pins[_OUTPUTS[twin["type"]]] = [net]
    if "SD" in twin["parameters"] and pins.get("DI"):
        pins["M"], pins["DI"] = pins["DI"], []
        twin["port_directions"]["M"] = "input"
        twin["parameters"]["SD"] = "0 "
    return twin


def _may_leave(cells: Mapping[str, Any], load: Load, place: Mapping[str, Place]) -> bool:
    """Tell whether a load may hear a copy.

    What lies right behind its table may not, nor what multipliers beside each other share, nor a
    clock buffer, which is far from all.
    """
    name, port = load
    if name not in place or port == _INTO_BUFFER:
        return False
    if port == "DI" and "SD" in cells[name]["parameters"]:
        return False
    return cells[name]["type"] != "MULT18X18D" or not port.startswith(("CE", "RST"))


def _middle(group: list[Load], place: Mapping[str, Place]) -> Place:
    """Return the column and the row that have as many loads on one side as on the other."""
    columns, rows = zip(*(place[load[0]] for load in group), strict=True)
    return sorted(columns)[len(group) // 2], sorted(rows)[len(group) // 2]


def _between(one: Place, other: Place) -> int:
    """Return the tiles between two places."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def _is_clock(loads: Iterable[Load]) -> bool:
    return any(port.startswith(("CLK", "WCK")) and port != _INTO_BUFFER for _, port in loads)


def _parts(loads: list[Load], place: Mapping[str, Place], limits: Limits) -> list[list[Load]]:
    """Part loads along their longer side until no part has too many or is too wide.

    Loads of one tile stay together.
    """
    if len(loads) <= min(limits.most, limits.few):
        return [loads]
    sides = [[place[name][axis] for name, _ in loads] for axis in (0, 1)]
    spans = [max(side) - min(side) for side in sides]
    if len(loads) <= limits.most and max(spans) <= limits.widest:
        return [loads]
    axis = int(spans[1] > spans[0])

    def key(load: Load) -> Place:
        return place[load[0]][axis], place[load[0]][1 - axis]

    ordered = sorted(loads, key=key)
    parts = max(2, -(-len(ordered) // limits.most))
    middle = len(ordered) * (parts // 2) // parts
    cuts = [n for n in range(1, len(ordered)) if key(ordered[n]) != key(ordered[n - 1])]
    if not cuts:
        return [ordered]
    cut = min(cuts, key=lambda n: abs(n - middle))
    return _parts(ordered[:cut], place, limits) + _parts(ordered[cut:], place, limits)
