"""The mistakes are planted, and the page names them; that they are found, each bench shows."""

import pytest

from tests.proof.plan import ROOT
from tests.proof.semantic import SEMANTIC


@pytest.mark.parametrize("kind", SEMANTIC)
def test_planted(kind):
    page = (ROOT / "docs" / "verification.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {kind} |"))
    for bench, bug in SEMANTIC[kind]:
        assert bug in bench.bugs
        assert f"{bench.name}: {bug}" in row
