"""Where block RAMs, multipliers and activations lie on an LFE5U-85F, and where nothing lies.

A placer that minimises wire length by itself has nothing to hold on to but four pins: it draws all
cells into one heap and tears it apart again when it finds out that the block RAMs fill the chip.
With most of the block RAMs in fixed places, everything else finds its own beside them.

The chip has four rows of 52 block RAMs. The uppermost takes the embedding, those of an element side
by side. The tape lies in the other three, from left to right in the order of the engine's columns,
so that the trits of a column for all rows, its activations and the lower levels of the adder trees
are near each other. The places left over, in between, are for the other block RAMs.

The multipliers of an element, in quantizer and epilogue, lie side by side and element after element
from left to right, as the elements of the embedding do. By itself the placer finds room for a
multiplier anywhere in its row, and tears an element's logic apart. State and side RAMs lie as near
to their elements as there is room; the tables of curves and their multipliers, which all elements
share, in the middle. A chip with its tape outside has nothing else in fixed places. Its elements
are few: they lie as close as multipliers and logic of each have room, right of the middle, as the
pins of the memory are at the right edge.

The engine's activations lie in a row across the chip, a column's eight bits in one tile, between
the block RAMs of their trits. Without them the placer packs the engine into a fifth of the width,
where its adders, of which every cell uses all inputs, want more wires than there are.

Every third row of tiles has no tables. The placer fills tile after tile around the middle of the
chip and leaves the edges empty, until there are more cells than wires to them: the router does not
come to an end. With the wires of a row free for the two beside it, it does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sterna.errors import InputError

__all__ = [
    "activation_sites",
    "block_ram_sites",
    "free_sites",
    "multiplier_sites",
    "other_sites",
]

_TAPE_ROWS = (46, 70, 82)
_EMBEDDING_ROWS = (22,)
_NAME = re.compile(r"\b(reader|embedding)\.bank_\d+\.(?:ram\.)?words\.\d+\.(\d+)$")

_MULTIPLIER_ROWS = {"epilogue": 34, "quantizer": 58}
_OF_ELEMENT = re.compile(
    r"\b(epilogue|quantizer)\..*?\b(?:lane|product|products_|scaled|square[12])_(\d+)(?!\d)"
)
_BLOCK_RAM_ROWS = (22, 46, 70, 82)
_BANK_ROWS = {"state": 22, "vector_a": 46, "vector_b": 70}
"""Rows of other RAMs whose words have a part for each element."""
_TABLE = re.compile(r"\.rom\.\d+\.\d+$")
_CURVE_TABLE_ROW = 70
_PLACE = re.compile(r"[XY](\d+)")
_PLACES = 52
"""Block RAMs in a row, and multipliers in one of theirs."""
_WIDEST = 8
"""Places that an element takes of a row, at most."""
_ACTIVATION_ROW = 76
_TILE_COLUMNS = 3, 121
"""First and last column of tiles for activations."""

_FREE_ROWS = range(3, 94, 3)
"""Rows of tiles without tables; block RAMs and multipliers stand in others."""
_TABLE_COLUMNS = range(2, 125)


def block_ram_sites(cells: Mapping[str, Any], row_bits: int) -> dict[str, str]:
    """Return a site for each block RAM of tape and embedding.

    Parameters
    ----------
    cells : mapping
        Of the mapped netlist, flat.
    row_bits : int
        Bits of a tape word for one row of the engine.
    """
    tape, embedding = [], []
    for name, cell in cells.items():
        found = _NAME.search(name)
        if found and cell["type"] == "DP16KD":
            bit = int(found[2]) * int(cell["parameters"]["DATA_WIDTH_B"], 2)
            if found[1] == "reader":
                tape.append((bit % row_bits, bit, name))
            else:
                embedding.append((bit, name))
    return _spread([name for _, _, name in sorted(tape)], _TAPE_ROWS) | _spread(
        [name for _, name in sorted(embedding)], _EMBEDDING_ROWS
    )


def multiplier_sites(cells: Mapping[str, Any], elements: int) -> dict[str, str]:
    """Return a site for each multiplier that belongs to an element.

    Parameters
    ----------
    cells : mapping
        Of the mapped netlist, flat.
    elements : int
        E.

    Raises
    ------
    InputError
        If those of an element do not fit into its part of a row.
    """
    width = min(_PLACES // elements, _WIDEST)
    if width < _WIDEST:
        begins = [element * _PLACES // elements for element in range(elements)]
    else:
        first = (_PLACES - elements * width) * 4 // 5
        begins = [first + element * width for element in range(elements)]
    found = defaultdict(list)
    for name in sorted(cells):
        match = _OF_ELEMENT.search(name)
        if match and cells[name]["type"] == "MULT18X18D":
            found[match[1], int(match[2])].append(name)
    sites = {}
    for (unit, element), names in found.items():
        if len(names) > width:
            raise InputError(
                f"{len(names)} multipliers of an element in {unit} have no room side by side: an "
                f"FPGA of this size takes fewer elements than {elements}"
            )
        for number, name in enumerate(names):
            sites[name] = _multiplier_site(_MULTIPLIER_ROWS[unit], begins[element] + number)
    return sites


def other_sites(cells: Mapping[str, Any], taken: Iterable[str]) -> dict[str, str]:
    """Return sites for the other RAMs of the elements, and for curves and their multipliers.

    Each takes the nearest that is free. A curve's table lies in the middle, for all elements.

    Parameters
    ----------
    cells : mapping
        Of the mapped netlist, flat.
    taken : iterable of str
        Sites of tape, embedding and the elements' multipliers.
    """
    used, sites = set(taken), {}

    def settle(name: str, site_of: Callable[[int, int], str], place: int, row: int) -> None:
        """Put a cell as near to a place in a row as there is room."""
        rows = _BLOCK_RAM_ROWS if site_of is _block_ram_site else (row,)
        sites[name] = min(
            (
                site
                for row in rows
                for at in range(_PLACES)
                if (site := site_of(row, at)) not in used
            ),
            key=lambda site: _distance(site, site_of(row, place)),
        )
        used.add(sites[name])

    for bank, row in _BANK_ROWS.items():
        names = sorted(
            name
            for name, cell in cells.items()
            if f".banks.{bank}.ram.words." in name and cell["type"] == "DP16KD"
        )
        for number, name in enumerate(names):
            settle(name, _block_ram_site, (2 * number + 1) * _PLACES // (2 * len(names)), row)
    for table in sorted(name for name in cells if _TABLE.search(name)):
        settle(table, _block_ram_site, _PLACES // 2, _CURVE_TABLE_ROW)
        product = _TABLE.sub(".product", table)
        for name, cell in cells.items():
            if name.startswith(product) and cell["type"] == "MULT18X18D":
                settle(name, _multiplier_site, _PLACES // 2, _MULTIPLIER_ROWS["quantizer"])
    return sites


def activation_sites(registers: Sequence[str], columns: int) -> dict[str, str]:
    """Return a site for each flip-flop of the engine's activations.

    Parameters
    ----------
    registers : sequence of str
        Names, eight for each column.
    columns : int
        C.
    """
    first, last = _TILE_COLUMNS
    if len(registers) != 8 * columns or not 1 < columns <= last - first + 1:
        raise ValueError(f"{len(registers)} flip-flops for {columns} columns")
    return {
        name: f"X{first + bit // 8 * (last - first) // (columns - 1)}/Y{_ACTIVATION_ROW}"
        f"/SLICE{'ABCD'[bit % 8 // 2]}.FF{bit % 2}"
        for bit, name in enumerate(registers)
    }


def free_sites() -> list[str]:
    """Return the sites of the tables that are not to be used."""
    return [
        f"X{column}/Y{row}/SLICE{part}.K{table}"
        for row in _FREE_ROWS
        for column in _TABLE_COLUMNS
        for part in "ABCD"
        for table in range(2)
    ]


def _spread(names: list[str], rows: tuple[int, ...]) -> dict[str, str]:
    """Spread names evenly over rows of sites, from left to right and four side by side."""
    sites = [
        _block_ram_site(row, place)
        for first in range(0, _PLACES, 4)
        for row in rows
        for place in range(first, first + 4)
    ]
    if len(names) > len(sites):
        raise ValueError(f"{len(names)} block RAMs do not fit into {len(sites)} places")
    return {name: sites[n * len(sites) // len(names)] for n, name in enumerate(names)}


def _block_ram_site(row: int, place: int) -> str:
    group, number = divmod(place, 4)
    return f"X{_first_column(group) + 2 * number}/Y{row}/EBR{number}"


def _multiplier_site(row: int, place: int) -> str:
    group, number = divmod(place, 4)
    number = (0, 1, 4, 5)[number]
    return f"X{_first_column(group) + number}/Y{row}/MULT18_{number}"


def _distance(site: str, other: str) -> int:
    """Return the tiles between two sites."""
    (x, y), (u, v) = (map(int, _PLACE.findall(one)) for one in (site, other))
    return abs(x - u) + abs(y - v)


def _first_column(group: int) -> int:
    """Four block RAMs, or four multipliers, stand on nine columns; there is a gap of two."""
    return 4 + 9 * group + 2 * (group >= 7)
