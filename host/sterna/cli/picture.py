"""The ranges of a model as one picture, an SVG written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

__all__ = ["picture"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which people who see colours otherwise can tell apart."""

_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 50, 560, 300
_LOWEST = -12
"""Lowest share of a format that is drawn, as a power of two."""


def picture(title: str, ranges: Mapping[str, Mapping[str, float]]) -> str:
    """Draw the share of its format that each value uses, layer by layer.

    Parameters
    ----------
    title : str
    ranges : mapping
        ``share_of_format`` of ``layers.N.NAME``, as `sterna eval --json` prints it.

    Returns
    -------
    str
        SVG. The upper edge is where numbers are clamped; a line down is half of that.
    """
    lines: dict[str, list[tuple[int, float]]] = {}
    for name, row in ranges.items():
        if name.startswith("layers."):
            _, layer, value = name.split(".", 2)
            lines.setdefault(value, []).append((int(layer), row["share_of_format"]))
    layers = max((layer for points in lines.values() for layer, _ in points), default=0)

    def x(layer: int) -> float:
        return _LEFT + _WIDTH * (layer / layers if layers else 0.5)

    def y(share: float) -> float:
        power = max(math.log2(share), _LOWEST) if share > 0 else _LOWEST
        return round(_TOP + _HEIGHT * power / _LOWEST, 1)

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="780" height="400" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="780" height="400" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="40">largest magnitude over what the format holds, per layer</text>',
    ]
    for power in range(0, _LOWEST - 1, -2):
        height = y(2.0**power)
        label = "clamped" if power == 0 else f"1/{2**-power}"
        parts.append(f'<path d="M{_LEFT} {height}h{_WIDTH}" stroke="#ccc"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{height + 4}" text-anchor="end">{label}</text>')
    for layer in range(layers + 1):
        if layer % max(1, layers // 12) == 0:
            bottom = _TOP + _HEIGHT + 18
            parts.append(
                f'<text x="{x(layer):.1f}" y="{bottom}" text-anchor="middle">{layer}</text>'
            )
    for number, (value, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ' stroke-dasharray="5 3"' if number >= len(_COLOURS) else ""
        path = " ".join(f"{x(layer):.1f},{y(share)}" for layer, share in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        parts += [
            f'<circle cx="{x(layer):.1f}" cy="{y(share)}" r="3" fill="{colour}"/>'
            for layer, share in points
        ]
        height, edge = _TOP + 20 * number, _LEFT + _WIDTH + 20
        parts.append(f'<path d="M{edge} {height}h24" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{edge + 30}" y="{height + 4}">{escape(value)}</text>')
    return "\n".join([*parts, "</svg>", ""])
