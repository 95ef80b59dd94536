"""The table of memories: times in clocks by hand, and what is refused."""

from dataclasses import replace

import pytest

from sterna.errors import InputError
from sterna.spec.sdram import PARTS, Least, mode, worst


@pytest.mark.parametrize(
    ("name", "clock_hz", "cas", "expected"),
    [
        # rcd rp ras rc rrd wr rfc mrd refresh power_up
        ("AS4C16M16SA-6", 100_000_000, 3, (2, 2, 5, 6, 2, 2, 6, 2, 781, 20_000)),
        ("AS4C16M16SA-6", 100_000_000, 2, (2, 2, 5, 6, 2, 2, 6, 2, 781, 20_000)),
        ("AS4C16M16SA-6", 166_000_000, 3, (3, 3, 7, 10, 2, 2, 10, 2, 1296, 33_200)),
        ("AS4C16M16SA-7", 125_000_000, 3, (3, 3, 6, 8, 2, 2, 8, 2, 976, 25_000)),
        ("W9825G6JH-6", 25_000_000, 2, (1, 1, 2, 2, 2, 2, 2, 2, 195, 5_000)),
        ("W9825G6JH-75", 133_000_000, 3, (3, 3, 6, 9, 2, 2, 9, 2, 1039, 26_600)),
        ("ULX3S", 100_000_000, 3, (3, 3, 5, 7, 2, 2, 7, 2, 781, 20_000)),
    ],
)
def test_clocks(name, clock_hz, cas, expected):
    t = PARTS[name].at(clock_hz, cas)
    got = (t.rcd, t.rp, t.ras, t.rc, t.rrd, t.wr, t.rfc, t.mrd, t.refresh, t.power_up)
    assert (got, t.cas) == (expected, cas)


def test_a_time_on_the_clock_is_not_rounded_up():
    assert Least(15).at(200_000_000) == 3
    assert Least(15).at(200_000_001) == 4
    assert Least(7.5).at(133_333_333) == 1
    assert Least(7.5, clocks=2).at(133_333_333) == 2


@pytest.mark.parametrize("name", PARTS)
def test_highest_frequency(name):
    part = PARTS[name]
    for cas, ns in part.cycle:
        assert part.at(int(1e9 / ns), cas).cas == cas
        with pytest.raises(InputError, match="too fast"):
            part.at(int(1e9 / ns) + 1, cas)
    with pytest.raises(InputError, match="CAS latencies"):
        part.at(10**6, 4)


def test_all_hold_32_mb():
    assert {part.words * 2 for part in PARTS.values()} == {32 << 20}
    assert {part.blocks for part in PARTS.values()} == {2 << 20}


def test_worst():
    """No part needs more than the worst one at any frequency."""
    for clock_hz in (12_500_000, 50_000_000, 100_000_000, 133_000_000):
        most = PARTS["ULX3S"].at(clock_hz)
        for part in PARTS.values():
            t = part.at(clock_hz)
            names = ("rcd", "rp", "ras", "rc", "rrd", "wr", "rfc", "mrd", "power_up")
            assert all(getattr(t, name) <= getattr(most, name) for name in names)
            assert t.refresh >= most.refresh
    with pytest.raises(InputError, match="geometry"):
        worst(PARTS["ULX3S"], replace(PARTS["ULX3S"], row_bits=12))


def test_mode():
    assert (mode(2), mode(3)) == (0b0100011, 0b0110011)


@pytest.mark.parametrize(
    "changes",
    [
        {"bank_bits": 3},
        {"row_bits": 0},
        {"column_bits": 2},
        {"cycle": ()},
        {"cycle": ((4, 6.0),)},
        {"rcd": Least(-1)},
        {"wr": Least(0, clocks=0)},
        {"refresh_ns": 0},
        {"ras_max_ns": 1},
    ],
)
def test_refused(changes):
    with pytest.raises(InputError):
        replace(PARTS["ULX3S"], **changes)
