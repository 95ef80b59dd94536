"""Much of a tape from the host's memory, in any order, cut, paused, refused, poisoned and lost."""

import pytest

from sterna_rtl.pcie.dma_reader import DmaReader
from sterna_sim.kit import edited
from tests.pcie.soak import build_soak, soak

MIB = 1 << 20
FAULTS = ("refused", "poisoned", "lost", "late")


def check(size, every):
    """Each word came once and in order; all that may happen did."""
    seen = soak(build_soak(256), size, every)
    assert seen["bytes"] >= size
    assert seen["reads"] * 512 >= size
    assert seen["packets"] > 2 * seen["reads"]
    assert seen["overtaken"] > seen["reads"] // 4
    assert all(seen[fault] for fault in FAULTS)


def test_two_megabytes():
    check(2 * MIB, 300)


@pytest.mark.slow
def test_sixty_four_megabytes():
    check(64 * MIB, 2000)


BUGS = {
    "late answers taken": (" & (age == self.age)", ""),
    "given up but not done": ("| Mux(expired, self.busy, 0)", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs(bug):
    """What only faults bring to light."""
    with pytest.raises(AssertionError, match="broken") as found:
        soak(build_soak(64, edited(DmaReader, *BUGS[bug])), 8 * MIB, 100)
    print(f"planted bug {bug!r} found: {found.value}")
