"""SDR SDRAM: commands, mode register, and a table of parts with geometry and timing.

Times are what the data sheets say, in ns or clocks, whichever is longer at the frequency. Sources:
AS4C16M16SA data sheet rev. 3.0 (March 2015), table 16; W9825G6JH data sheet A04 (November 2011),
section 9.5. Boards carry either, so the table ends with a part of which each value is the worst.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from fractions import Fraction
from math import ceil

from sterna.errors import InputError

__all__ = [
    "ALL_BANKS",
    "AUTO_PRECHARGE",
    "BURST",
    "INIT_REFRESHES",
    "PARTS",
    "WORD_BITS",
    "Command",
    "Least",
    "Part",
    "Timing",
    "mode",
    "worst",
]

WORD_BITS = 16
"""Bits of the data bus."""

BURST = 8
"""Words of a burst: a block. Of eight clocks seven are free for other commands."""

INIT_REFRESHES = 8
"""Refreshes between power-up and the mode register."""

AUTO_PRECHARGE = ALL_BANKS = 1 << 10
"""Address bit 10: close the row after this burst; or close those of all banks."""


class Command(IntEnum):
    """Levels of RAS#, CAS# and WE#, highest first, while CS# is low."""

    MODE = 0b000  #: set the mode register from the address
    REFRESH = 0b001  #: refresh the next row; all banks closed
    PRECHARGE = 0b010  #: close a row
    ACTIVATE = 0b011  #: open a row
    WRITE = 0b100  #: begin a burst; the first word is on the bus
    READ = 0b101  #: begin a burst; the first word comes after the CAS latency
    STOP = 0b110  #: end a burst; not used
    NOP = 0b111


def mode(cas: int) -> int:
    """Return the mode register: bursts of `BURST` words in order, writes too."""
    return cas << 4 | (BURST.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Least:
    """A time that must pass: `ns` or `clocks`, whichever is longer."""

    ns: float = 0
    clocks: int = 1

    def at(self, clock_hz: int) -> int:
        """Return it in clocks."""
        return max(self.clocks, ceil(Fraction(self.ns) * clock_hz / 10**9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times of a part in clocks at some frequency; names as in `Part`."""

    cas: int
    rcd: int
    rp: int
    ras: int
    rc: int
    rrd: int
    wr: int
    rfc: int
    mrd: int
    refresh: int
    power_up: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A memory.

    Attributes
    ----------
    bank_bits, row_bits, column_bits : int
        Geometry; a column is a word.
    cycle : tuple of (int, float)
        Shortest clock period in ns by CAS latency.
    rcd : Least
        From ACTIVATE to READ or WRITE of the bank.
    rp : Least
        From PRECHARGE to ACTIVATE of the bank or REFRESH.
    ras : Least
        From ACTIVATE to PRECHARGE of the bank.
    ras_max_ns : float
        The longest that a row may be open.
    rc : Least
        From ACTIVATE to ACTIVATE of the bank or REFRESH.
    rrd : Least
        From ACTIVATE to ACTIVATE of another bank.
    wr : Least
        From the last word of a WRITE to PRECHARGE.
    rfc : Least
        From REFRESH to ACTIVATE or REFRESH.
    mrd : Least
        From MODE to any command.
    refresh_ns : float
        The longest from REFRESH to REFRESH: 64 ms over the number of rows.
    power_up_ns : float
        From a stable clock to the first command.
    """

    bank_bits: int = 2
    row_bits: int = 13
    column_bits: int = 9
    cycle: tuple[tuple[int, float], ...]
    rcd: Least
    rp: Least
    ras: Least
    ras_max_ns: float = 100_000
    rc: Least
    rrd: Least
    wr: Least
    rfc: Least
    mrd: Least
    refresh_ns: float = 64e6 / 8192
    power_up_ns: float = 200_000

    def __post_init__(self) -> None:
        for name, most in (("bank_bits", 2), ("row_bits", 13), ("column_bits", 10)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"{name} must be from 1 to {most}, not {getattr(self, name)}")
        if 1 << self.column_bits < BURST:
            raise InputError(f"a row must hold a burst of {BURST} words")
        if not self.cycle or any(cas not in (2, 3) or ns <= 0 for cas, ns in self.cycle):
            raise InputError(f"cycle must give periods for CAS latencies 2 or 3, not {self.cycle}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Least) and (value.ns < 0 or value.clocks < 1):
                raise InputError(f"{field.name} must be at least a clock, not {value}")
        if self.refresh_ns <= 0 or self.power_up_ns < 0 or self.ras_max_ns < self.ras.ns:
            raise InputError("refresh_ns, power_up_ns or ras_max_ns is out of range")

    @property
    def words(self) -> int:
        """Words that it holds."""
        return 1 << self.bank_bits + self.row_bits + self.column_bits

    @property
    def blocks(self) -> int:
        """Bursts that it holds."""
        return self.words // BURST

    @property
    def word_bits(self) -> int:
        """Bits of a word."""
        return WORD_BITS

    @property
    def block_words(self) -> int:
        """Words of a block."""
        return BURST

    @property
    def block_bits(self) -> int:
        """Bits of a block."""
        return BURST * WORD_BITS

    @property
    def row_blocks(self) -> int:
        """Blocks of a row."""
        return (1 << self.column_bits) // BURST

    def cycle_ns(self, cas: int) -> float:
        """Return the shortest clock period at a CAS latency."""
        cycles = dict(self.cycle)
        if cas not in cycles:
            raise InputError(f"the part has CAS latencies {sorted(cycles)}, not {cas}")
        return cycles[cas]

    def at(self, clock_hz: int, cas: int = 3) -> Timing:
        """Return the times in clocks.

        CAS latency 3 costs a clock once a stream and gives the board the most time to take the
        data, so it is the default at any frequency.
        """
        if clock_hz < 1 or Fraction(self.cycle_ns(cas)) * clock_hz > 10**9:
            raise InputError(
                f"with a CAS latency of {cas} a clock takes at least {self.cycle_ns(cas)} ns: "
                f"{clock_hz} Hz is too fast"
            )
        names = ("rcd", "rp", "ras", "rc", "rrd", "wr", "rfc", "mrd")
        return Timing(
            cas=cas,
            refresh=int(Fraction(self.refresh_ns) * clock_hz / 10**9),
            power_up=Least(self.power_up_ns).at(clock_hz),
            **{name: getattr(self, name).at(clock_hz) for name in names},
        )


def worst(*parts: Part) -> Part:
    """Return a part that needs at each point what the most demanding of some parts needs."""
    first = parts[0]
    if any(
        (p.bank_bits, p.row_bits, p.column_bits)
        != (first.bank_bits, first.row_bits, first.column_bits)
        for p in parts
    ):
        raise InputError("parts of different geometry have no common worst one")
    least = {
        field.name: Least(
            max(getattr(part, field.name).ns for part in parts),
            max(getattr(part, field.name).clocks for part in parts),
        )
        for field in fields(first)
        if isinstance(getattr(first, field.name), Least)
    }
    common = set.intersection(*(set(dict(part.cycle)) for part in parts))
    return Part(
        bank_bits=first.bank_bits,
        row_bits=first.row_bits,
        column_bits=first.column_bits,
        cycle=tuple((cas, max(part.cycle_ns(cas) for part in parts)) for cas in sorted(common)),
        ras_max_ns=min(part.ras_max_ns for part in parts),
        refresh_ns=min(part.refresh_ns for part in parts),
        power_up_ns=max(part.power_up_ns for part in parts),
        **least,
    )


PARTS = {
    "AS4C16M16SA-6": Part(
        cycle=((2, 10), (3, 6)),
        rcd=Least(18),
        rp=Least(18),
        ras=Least(42),
        ras_max_ns=120_000,
        rc=Least(60),
        rrd=Least(12),
        wr=Least(12),
        rfc=Least(60),
        mrd=Least(12),
    ),
    "AS4C16M16SA-7": Part(
        cycle=((2, 10), (3, 7)),
        rcd=Least(21),
        rp=Least(21),
        ras=Least(42),
        ras_max_ns=120_000,
        rc=Least(63),
        rrd=Least(14),
        wr=Least(14),
        rfc=Least(63),
        mrd=Least(14),
    ),
    "W9825G6JH-6": Part(
        cycle=((2, 7.5), (3, 6)),
        rcd=Least(15),
        rp=Least(15),
        ras=Least(42),
        rc=Least(60),
        rrd=Least(clocks=2),
        wr=Least(clocks=2),
        rfc=Least(60),
        mrd=Least(clocks=2),
    ),
    "W9825G6JH-75": Part(
        cycle=((2, 10), (3, 7.5)),
        rcd=Least(20),
        rp=Least(20),
        ras=Least(45),
        rc=Least(65),
        rrd=Least(clocks=2),
        wr=Least(clocks=2),
        rfc=Least(65),
        mrd=Least(clocks=2),
    ),
}
"""Parts of 16 M x 16 bit by name and speed grade; `ULX3S` is the worst of them all."""
PARTS["ULX3S"] = worst(*PARTS.values())
