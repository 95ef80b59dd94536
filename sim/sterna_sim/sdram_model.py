"""An SDR SDRAM at its pins, from the rules of the data sheets: it stores words and it objects.

One clock at a time: what the controller drove when the clock rose goes in, what the memory drives
until the next rise comes out. Times are compared in ns, so that nothing is shared with the
controller's conversion to clocks. The controller reads garbage while nobody drives the bus.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

from sterna.spec.sdram import AUTO_PRECHARGE, BURST, INIT_REFRESHES, WORD_BITS, Command, Least, Part

from .kit.player import CheckError, Engine

__all__ = ["RULES", "Cells", "Inputs", "SdramBeside", "SdramError", "SdramModel"]

RULES = {
    "power-up": "a command before the clock was stable for long enough",
    "initialise": "an access before all banks were closed, refreshed and the mode was set",
    "cke": "CKE low after power-up: power-down and self refresh are not modelled",
    "command": "a command that is not modelled",
    "mode": "a mode register other than bursts of eight words in order",
    "cas": "a CAS latency that the clock is too fast for",
    "tMRD": "a command too soon after MODE",
    "tRCD": "an access too soon after ACTIVATE",
    "tRP": "a row opened or refreshed too soon after PRECHARGE",
    "tRAS": "a row closed too soon after ACTIVATE",
    "tRAS max": "a row open for too long",
    "tRC": "a row opened or refreshed too soon after the bank's ACTIVATE",
    "tRRD": "a row opened too soon after another bank's",
    "tWR": "a row closed too soon after the last word written",
    "tRFC": "a command too soon after REFRESH",
    "tREFI": "too long without REFRESH",
    "closed": "an access to a bank without an open row",
    "open": "a row opened, a mode set or a refresh while a row is open",
    "cut": "a burst that closes its row was cut short",
    "contention": "both sides drive the bus",
    "turnaround": "the bus driven on the clock after the memory's last word",
    "undriven": "a word written that nobody drives",
}
"""What the model objects to, by name."""

NEVER = -(1 << 60)


class SdramError(CheckError):
    """A rule was broken."""

    def __init__(self, rule: str, clock: int, detail: str = "") -> None:
        super().__init__(f"{rule}: {RULES[rule]}", sdram_clock=clock, detail=detail or None)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the controller drives when the clock rises; `data` is None while it does not."""

    command: int = Command.NOP
    bank: int = 0
    address: int = 0
    data: int | None = None
    mask: int = 0
    cke: int = 1
    cs_n: int = 0


@dataclass(slots=True)
class _Bank:
    row: int | None = None
    opened: int = NEVER
    closed: int = NEVER  # when precharge began, or will begin
    written: int = NEVER  # the last word written

    def open_at(self, clock: int) -> bool:
        return self.row is not None and not self.opened < self.closed <= clock

    def open_for(self, clock: int) -> int:
        """Clocks for which the last row that was open until `clock` has been so."""
        if self.row is None:
            return 0
        return (min(clock, self.closed - 1) if self.opened < self.closed else clock) - self.opened


@dataclass(slots=True)
class _Burst:
    """A burst from its command on; `end` is the first clock without a word of it."""

    command: int
    bank: int
    row: int
    column: int
    start: int
    end: int
    closes: bool


class Cells(dict[int, int]):
    """Words by address; those that were never written are 0."""

    def __missing__(self, address: int) -> int:
        return 0


class SdramModel:
    """A memory and the clock at its pin.

    Parameters
    ----------
    part : Part
    clock_hz : int
    words : Cells or array, optional
        What it holds, by word address. They change as it is written to.

    Attributes
    ----------
    words : Cells or array
        What it holds.
    refreshes : int
        REFRESH commands since power-up.
    """

    def __init__(self, part: Part, clock_hz: int, words: Cells | array[int] | None = None) -> None:
        self.part = part
        self.clock_hz = clock_hz
        self.words = Cells() if words is None else words
        self.clock = 0
        self.refreshes = 0
        self.banks = [_Bank() for _ in range(1 << part.bank_bits)]
        self._cas: int | None = None  # set by MODE
        self._closed_all = False
        self._mode_set = self._refreshed = NEVER
        self._activated = NEVER, -1  # when and which bank
        self._burst: _Burst | None = None
        self._out: dict[int, int] = {}  # words to be driven, by the clock that shows them
        self._drove = NEVER
        self._mask = 0  # of the last edge
        self._recovery = next(n for n in count(1) if self._passed(n, part.wr))
        self._longest_open = int(Fraction(part.ras_max_ns) * clock_hz / 10**9)
        self._longest_wait = int(Fraction(part.refresh_ns) * clock_hz / 10**9)

    def rise(self, pins: Inputs) -> int | None:
        """Take one rising edge; return what the memory drives after it, or None."""
        now = self.clock
        self._watch_bus(pins)
        if not pins.cke and self._powered():
            raise SdramError("cke", now)
        command = Command.NOP if pins.cs_n else Command(pins.command)
        if command is not Command.NOP:
            self._command(command, pins)
        if self._burst is not None:
            self._store(pins)
        self._watch_time()
        self.clock += 1
        word = self._out.pop(now, None)
        # A mask comes two edges before its word; one of a single byte hides the other too here.
        if self._mask:
            word = None
        self._mask = pins.mask
        if word is not None:
            self._drove = now
        return word

    def coming(self, clocks: int) -> list[int | None]:
        """What the memory drives after each of the next rising edges if they are idle ones."""
        words = [self._out.get(self.clock + index) for index in range(clocks)]
        return [None, *words[1:]] if self._mask else words

    def skip(self, clocks: int) -> None:
        """Take idle rising edges: no command, nothing driven, no mask."""
        burst = self._burst
        writes = burst is not None and burst.command is Command.WRITE and self.clock < burst.end
        if writes:
            for _ in range(clocks):
                self.rise(Inputs())
        elif clocks:
            words = zip(count(self.clock), self.coming(clocks), strict=False)
            shown = [at for at, word in words if word is not None]
            self._out = {at: word for at, word in self._out.items() if at >= self.clock + clocks}
            self._drove = max(shown, default=self._drove)
            self._mask = 0
            self.clock += clocks - 1
            self._watch_time()
            self.clock += 1

    def _powered(self) -> bool:
        return self._passed(self.clock, Least(self.part.power_up_ns))

    def _passed(self, clocks: int, least: Least) -> bool:
        return clocks >= least.clocks and clocks * 10**9 >= Fraction(least.ns) * self.clock_hz

    def _wants(self, rule: str, since: int) -> None:
        """Object unless the time of the rule's name has passed."""
        clocks = self.clock - since
        if not self._passed(clocks, getattr(self.part, rule[1:].lower())):
            raise SdramError(rule, self.clock, f"{clocks} clocks")

    def _watch_bus(self, pins: Inputs) -> None:
        """Before this edge the memory drove what it gave at the last one."""
        if pins.data is None:
            return
        if self._drove == self.clock - 1:
            raise SdramError("contention", self.clock)
        if self._drove == self.clock - 2:
            raise SdramError("turnaround", self.clock)

    def _watch_time(self) -> None:
        for number, bank in enumerate(self.banks):
            if bank.open_for(self.clock) > self._longest_open:
                raise SdramError("tRAS max", self.clock, f"bank {number}")
        if self._cas is not None:
            passed = self.clock - self._refreshed
            if passed > self._longest_wait:
                raise SdramError("tREFI", self.clock, f"{passed} clocks")

    def _command(self, command: Command, pins: Inputs) -> None:
        if not self._powered():
            raise SdramError("power-up", self.clock)
        self._wants("tMRD", self._mode_set)
        self._wants("tRFC", self._refreshed)
        if command is Command.ACTIVATE:
            self._activate(pins)
        elif command in (Command.READ, Command.WRITE):
            self._access(command, pins)
        elif command is Command.PRECHARGE:
            everything = pins.address & AUTO_PRECHARGE
            for number in range(len(self.banks)) if everything else (pins.bank,):
                self._precharge(number)
            self._closed_all |= bool(everything)
        elif command is Command.REFRESH:
            self._all_closed()
            if not self._closed_all:
                raise SdramError("initialise", self.clock, "banks not closed")
            self._refreshed = self.clock
            self.refreshes += 1
        elif command is Command.MODE:
            self._set_mode(pins)
        else:
            raise SdramError("command", self.clock, command.name)

    def _all_closed(self) -> None:
        for number, bank in enumerate(self.banks):
            if bank.open_at(self.clock):
                raise SdramError("open", self.clock, f"bank {number}")
            self._wants("tRP", bank.closed)
            self._wants("tRC", bank.opened)

    def _set_mode(self, pins: Inputs) -> None:
        self._all_closed()
        if self.refreshes < INIT_REFRESHES:
            raise SdramError("initialise", self.clock, f"{self.refreshes} refreshes")
        cas = pins.address >> 4 & 7
        if pins.bank or pins.address != cas << 4 | 3:
            raise SdramError("mode", self.clock, f"{pins.bank} {pins.address:#x}")
        cycles = dict(self.part.cycle)
        if cas not in cycles or Fraction(cycles[cas]) * self.clock_hz > 10**9:
            raise SdramError("cas", self.clock, f"{cas}")
        self._cas, self._mode_set = cas, self.clock

    def _activate(self, pins: Inputs) -> None:
        if self._cas is None:
            raise SdramError("initialise", self.clock, "no mode set")
        bank = self.banks[pins.bank]
        if bank.open_at(self.clock):
            raise SdramError("open", self.clock, f"bank {pins.bank}")
        self._wants("tRP", bank.closed)
        self._wants("tRC", bank.opened)
        last, other = self._activated
        if other != pins.bank:
            self._wants("tRRD", last)
        self._activated = self.clock, pins.bank
        bank.row, bank.opened = pins.address & (1 << self.part.row_bits) - 1, self.clock

    def _access(self, command: Command, pins: Inputs) -> None:
        if self._cas is None:
            raise SdramError("initialise", self.clock, "no mode set")
        bank = self.banks[pins.bank]
        if not bank.open_at(self.clock) or bank.row is None:
            raise SdramError("closed", self.clock, f"bank {pins.bank}")
        self._wants("tRCD", bank.opened)
        if bank.closed > self.clock:
            raise SdramError("cut", self.clock, "the row is about to close")
        self._cut(self.clock)
        closes = bool(pins.address & AUTO_PRECHARGE)
        column = pins.address & (1 << self.part.column_bits) - 1
        burst = _Burst(command, pins.bank, bank.row, column, self.clock, self.clock + BURST, closes)
        self._burst = burst
        if closes:
            # The row closes by itself when the burst is over, or its last word recovered.
            last = self.clock + BURST - 1
            bank.closed = last + (1 if command is Command.READ else self._recovery)
            if not self._passed(bank.closed - bank.opened, self.part.ras):
                raise SdramError("tRAS", self.clock, "closes by itself")
        if command is Command.READ:
            self._give(burst)

    def _address(self, burst: _Burst, index: int) -> int:
        """Bursts wrap within a block."""
        column = burst.column & ~(BURST - 1) | (burst.column + index) % BURST
        return (burst.row << self.part.bank_bits | burst.bank) << self.part.column_bits | column

    def _give(self, burst: _Burst) -> None:
        """Queue the words: the first is driven before the edge `cas` clocks after the READ's."""
        assert self._cas is not None
        first = self.clock + self._cas - 1
        self._out = {clock: word for clock, word in self._out.items() if clock < first}
        for index in range(BURST):
            self._out[first + index] = self.words[self._address(burst, index)]

    def _store(self, pins: Inputs) -> None:
        """Take the word of a write; with bits of the mask up, bytes of it stay as they are."""
        burst = self._burst
        assert burst is not None
        if burst.command is Command.WRITE and self.clock < burst.end:
            if pins.data is None:
                raise SdramError("undriven", self.clock)
            keep = sum(0xFF << 8 * n for n in range(WORD_BITS // 8) if pins.mask >> n & 1)
            address = self._address(burst, self.clock - burst.start)
            self.words[address] = self.words[address] & keep | pins.data & ~keep
            self.banks[burst.bank].written = self.clock

    def _cut(self, end: int) -> None:
        """End a running burst early: its words from the CAS latency on do not come."""
        burst = self._burst
        if burst is None or end >= burst.end:
            return
        if burst.closes:
            raise SdramError("cut", self.clock)
        burst.end = end
        if burst.command is Command.READ:
            assert self._cas is not None
            first = end + self._cas - 1
            self._out = {clock: word for clock, word in self._out.items() if clock < first}

    def _precharge(self, number: int) -> None:
        bank = self.banks[number]
        if not bank.open_at(self.clock):
            if not self._closed_all:  # what is open after power-up nobody knows
                bank.closed = self.clock
            return
        if bank.closed > self.clock:
            raise SdramError("cut", self.clock, f"bank {number} is about to close")
        self._wants("tRAS", bank.opened)
        burst = self._burst
        if burst is not None and burst.bank == number:
            if burst.command is Command.WRITE and self.clock < burst.end:
                raise SdramError("tWR", self.clock, "in the middle of a burst")
            self._cut(self.clock)
        self._wants("tWR", bank.written)
        bank.closed = self.clock


@dataclass(slots=True)
class SdramBeside:
    """The model on the pins of a unit under test; see `Case.beside`.

    Parameters
    ----------
    part : Part
    clock_hz : int
    words, expected : dict
        What the memory holds when the case starts, and must hold when it ends, by address.
    prefix : str
        Name of the port.
    """

    part: Part
    clock_hz: int
    words: dict[int, int]
    expected: dict[int, int]
    prefix: str = "pins"
    held: Cells = field(init=False)
    model: SdramModel = field(init=False)
    garbage: random.Random = field(init=False)
    word: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.held = Cells(self.words)
        self.model = SdramModel(self.part, self.clock_hz, self.held)
        self.garbage = random.Random(len(self.words))

    def drive(self, engine: Engine) -> None:
        """Show the unit what is on the bus before the next edge."""
        word = self.garbage.getrandbits(WORD_BITS) if self.word is None else self.word
        engine.write(f"{self.prefix}__data__i", word)

    def sample(self, engine: Engine) -> None:
        """Take the edge that ends this clock."""

        def pin(name: str) -> int:
            return engine.read(f"{self.prefix}__{name}")

        data = pin("data__o") if pin("data__oe") else None
        names = ("command", "bank", "address", "mask", "cke", "cs_n")
        self.word = self.model.rise(Inputs(data=data, **{name: pin(name) for name in names}))

    def check(self) -> None:
        """Compare what the memory holds at the end."""
        for address in sorted(self.expected.keys() | self.held.keys()):
            expected, got = self.expected.get(address, 0), self.held[address]
            if got != expected:
                raise CheckError(
                    "wrong word in the SDRAM", index=address, expected=expected, got=got
                )
