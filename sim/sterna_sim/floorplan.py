"""Where the block RAMs of the reference configuration lie on an LFE5U-85F.

A placer that minimises wire length by itself has nothing to hold on to but four pins: it draws all
cells into one heap and tears it apart again when it finds out that the block RAMs fill the chip.
With most of the block RAMs in fixed places, everything else finds its own beside them.

The chip has four rows of 52 block RAMs. The uppermost holds the embedding, the six banks of an
element side by side. The tape lies in the other three, in four quarters from left to right: a
quarter holds the trits of the same C / 4 columns for all R rows, so that the activations of those
columns and the lower levels of the adder trees stay in it. The banks of a piece of 9 bits are side
by side. A place in the middle of each quarter and four in the uppermost row are left for the other
block RAMs.
"""

from __future__ import annotations

__all__ = ["floorplan"]

_TAPE_ROWS = (46, 70, 82)
_EMBEDDING_ROW = 22
_QUARTER = 13
"""Block RAMs in a quarter of a row."""


def floorplan() -> dict[str, str]:
    """Return the sites of block RAMs, by the ends of their names."""
    plan = {}
    for quarter in range(4):
        for part, row in enumerate(_TAPE_ROWS):
            sites = [_site(row, quarter * _QUARTER + place) for place in range(_QUARTER)]
            del sites[_QUARTER // 2]
            for engine_row in range(4):
                piece = 12 * engine_row + 3 * quarter + part
                for bank in range(3):
                    plan[f"reader.bank_{bank}.words.0.{piece}"] = sites[3 * engine_row + bank]
    places = [place for place in range(4 * _QUARTER) if place not in range(24, 28)]
    for element in range(8):
        for bank in range(6):
            site = _site(_EMBEDDING_ROW, places[6 * element + bank])
            plan[f"embedding.bank_{bank}.words.0.{element}"] = site
    return plan


def _site(row: int, place: int) -> str:
    """Return a block RAM's site: 52 in a row, four for every nine columns, with a gap of two."""
    group, number = divmod(place, 4)
    column = 4 + 9 * group + 2 * number + 2 * (group >= 7)
    return f"X{column}/Y{row}/EBR{number}"
