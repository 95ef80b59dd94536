"""A picture of a placed chip: each tile in the colour of the unit that has most of its cells."""

from __future__ import annotations

import colorsys
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby

from sterna_sim.ways import Place

__all__ = ["floor_plan"]

_TILE = 8
_LEGEND = 150
_GOLDEN = 0.618034
"""Steps of the hue that keep neighbours in the legend apart, however many there are."""


def floor_plan(cells: Iterable[tuple[Place, str]]) -> str:
    """Return the picture as SVG, with a legend in the order of the units' sizes.

    Parameters
    ----------
    cells : iterable
        Column and row of each cell, and its unit.
    """
    tiles: dict[Place, Counter[str]] = defaultdict(Counter)
    for place, unit in cells:
        tiles[place][unit] += 1
    sizes = sum(tiles.values(), Counter())
    order = {unit: (-sizes[unit], unit) for unit in sizes}
    shown = {place: min(own, key=lambda u: (-own[u], order[u])) for place, own in tiles.items()}
    units = sorted(sizes, key=order.__getitem__)
    columns, rows = (max(place[axis] for place in tiles) + 1 for axis in (0, 1))
    width, height = columns * _TILE + _LEGEND, max(rows * _TILE, 20 * len(units) + 20)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<rect width="{columns * _TILE}" height="{rows * _TILE}" fill="#eee"/>',
    ]
    for number, unit in enumerate(units):
        path = "".join(_runs(place for place, own in shown.items() if own == unit))
        x, y = columns * _TILE + 10, 20 * number + 10
        lines += [
            f'<g fill="{_colour(number)}"><path d="{path}"/>'
            f'<rect x="{x}" y="{y}" width="12" height="12"/></g>',
            f'<text x="{x + 18}" y="{y + 11}">{unit} ({sizes[unit]})</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _runs(places: Iterable[Place]) -> Iterable[str]:
    """Draw tiles that lie side by side in a row as one rectangle."""
    for row, line in groupby(sorted((y, x) for x, y in places), key=lambda place: place[0]):
        numbered = enumerate(x for _, x in line)
        for _, run in groupby(numbered, key=lambda pair: pair[1] - pair[0]):
            xs = [x for _, x in run]
            size = len(xs) * _TILE
            yield f"M{xs[0] * _TILE} {row * _TILE}h{size}v{_TILE}h-{size}z"


def _colour(number: int) -> str:
    red, green, blue = colorsys.hls_to_rgb(number * _GOLDEN % 1, 0.4 + 0.2 * (number % 2), 0.7)
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))
