"""Where the block RAMs of tape and embedding lie on an LFE5U-85F.

A placer that minimises wire length by itself has nothing to hold on to but four pins: it draws all
cells into one heap and tears it apart again when it finds out that the block RAMs fill the chip.
With most of the block RAMs in fixed places, everything else finds its own beside them.

The chip has four rows of 52 block RAMs. The uppermost takes the embedding, those of an element side
by side. The tape lies in the other three, from left to right in the order of the engine's columns,
so that the trits of a column for all rows, its activations and the lower levels of the adder trees
are near each other. The places left over, in between, are for the other block RAMs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["block_ram_sites"]

_TAPE_ROWS = (46, 70, 82)
_EMBEDDING_ROWS = (22,)
_NAME = re.compile(r"\b(reader|embedding)\.bank_\d+\.words\.\d+\.(\d+)$")


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


def _spread(names: list[str], rows: tuple[int, ...]) -> dict[str, str]:
    """Spread names evenly over rows of sites, from left to right and four side by side."""
    sites = [
        _site(row, place)
        for first in range(0, 52, 4)
        for row in rows
        for place in range(first, first + 4)
    ]
    if len(names) > len(sites):
        raise ValueError(f"{len(names)} block RAMs do not fit into {len(sites)} places")
    return {name: sites[n * len(sites) // len(names)] for n, name in enumerate(names)}


def _site(row: int, place: int) -> str:
    """Return a block RAM's site: four for every nine columns, with a gap of two in the middle."""
    group, number = divmod(place, 4)
    column = 4 + 9 * group + 2 * number + 2 * (group >= 7)
    return f"X{column}/Y{row}/EBR{number}"
