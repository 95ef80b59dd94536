"""The picture of a placed chip: every tile once, in its unit's colour."""

import re
from xml.etree import ElementTree

from sterna_sim.picture import floor_plan

CELLS = [
    *[((x, 2), "engine") for x in (1, 2, 3, 5) for _ in range(3)],
    ((5, 2), "link"),  # fewer than the engine's there
    ((0, 7), "link"),
    ((0, 7), "engine"),  # as many: the larger unit's
    ((9, 9), "sampler"),
]


def test_tiles_are_drawn_once():
    root = ElementTree.fromstring(floor_plan(CELLS))
    space = {"svg": "http://www.w3.org/2000/svg"}
    drawn = {}
    groups = root.findall("svg:g", space)
    names = [text.text for text in root.findall("svg:text", space)]
    assert names == ["engine (13)", "link (2)", "sampler (1)"]
    for name, group in zip(names, groups, strict=True):
        path = group.find("svg:path", space).get("d")
        for x, y, wide in re.findall(r"M(\d+) (\d+)h(\d+)v8h-\3z", path):
            for column in range(int(x) // 8, (int(x) + int(wide)) // 8):
                assert (column, int(y) // 8) not in drawn
                drawn[column, int(y) // 8] = name.split()[0]
    assert drawn == {
        **{(x, 2): "engine" for x in (1, 2, 3, 5)}, (0, 7): "engine", (9, 9): "sampler",
    }  # fmt: skip
    assert len({group.get("fill") for group in groups}) == 3


def test_the_same_cells_give_the_same_bytes():
    assert floor_plan(CELLS) == floor_plan(reversed(CELLS))
