"""The model of the memory: it stores words, and it catches the breach of each rule."""

from dataclasses import replace

import pytest

from sterna.spec.sdram import ALL_BANKS, AUTO_PRECHARGE, BURST, INIT_REFRESHES, PARTS, Command, mode
from sterna_sim.sdram_model import RULES, Cells, Inputs, SdramError, SdramModel

GRADES = {
    "AS4C16M16SA-6": (166_666_666, 3),
    "AS4C16M16SA-7": (142_857_142, 3),
    "W9825G6JH-6": (133_333_333, 2),
    "W9825G6JH-75": (133_333_333, 3),
    "ULX3S": (100_000_000, 3),
}


@pytest.fixture(autouse=True, params=["edge by edge", "skipping"])
def skips(request, monkeypatch):
    """Idle edges one by one, or several at once."""
    monkeypatch.setattr(Trace, "skips", request.param == "skipping")


class Trace:
    """Commands by clock, each as early as the rules allow; `late` moves one of them."""

    skips = False

    def __init__(self, grade):
        clock_hz, self.cas = GRADES[grade]
        part = replace(PARTS[grade], power_up_ns=500)
        self.model = SdramModel(part, clock_hz, Cells({n: 3 * n + 1 for n in range(BURST)}))
        self.t = part.at(clock_hz, self.cas)
        self.out = {}

    def rise(self, command=Command.NOP, **pins):
        clock = self.model.clock
        word = self.model.rise(Inputs(command=command, **pins))
        if word is not None:
            self.out[clock] = word
        return clock

    def wait(self, clocks):
        """So many clocks pass from the last command to the next."""
        if self.skips:
            words = enumerate(self.model.coming(clocks - 1), self.model.clock)
            self.out |= {clock: word for clock, word in words if word is not None}
            self.model.skip(clocks - 1)
            return
        for _ in range(clocks - 1):
            self.rise()

    def power_up(self, wait=0, refreshes=INIT_REFRESHES, rp=0, rfc=0, mrd=0, setting=0, bank=0):
        """Up to the first clock on which a row may be opened; arguments are what is left out."""
        self.wait(self.t.power_up + 1 - wait)
        self.rise(Command.PRECHARGE, address=ALL_BANKS)
        self.wait(self.t.rp - rp)
        for _ in range(refreshes):
            self.rise(Command.REFRESH)
            self.wait(self.t.rfc - rfc)
        self.rise(Command.MODE, address=mode(self.cas) ^ setting, bank=bank)
        self.wait(self.t.mrd - mrd)

    def activate(self, bank=0, row=0, wait=None):
        self.rise(Command.ACTIVATE, bank=bank, address=row)
        self.wait(self.t.rcd if wait is None else wait)

    def write(self, words, auto=0, bank=0, column=0):
        for n, word in enumerate(words):
            first = {"bank": bank, "address": column | auto} if n == 0 else {}
            self.rise(Command.NOP if n else Command.WRITE, data=word, **first)

    def read(self, auto=0, bank=0, wait=BURST):
        clock = self.rise(Command.READ, bank=bank, address=auto)
        self.wait(wait)
        return clock


WORDS = list(range(100, 100 + BURST))


@pytest.mark.parametrize("grade", GRADES)
def test_stores_words_at_the_shortest_times(grade):
    """What no rule forbids goes through: each time is met to the clock."""
    trace = Trace(grade)
    t = trace.t
    trace.power_up()
    trace.activate()
    first = trace.read()
    trace.wait(trace.cas + 2)
    trace.write(WORDS)
    trace.wait(t.wr)
    trace.rise(Command.PRECHARGE)
    trace.wait(t.rp)
    trace.activate(wait=t.rrd)
    trace.activate(bank=1, wait=max(t.rcd, t.ras - t.rrd))
    second = trace.read()
    third = trace.read(auto=AUTO_PRECHARGE)
    trace.wait(t.rp)
    trace.rise()
    trace.activate()
    trace.write(WORDS[::-1], auto=AUTO_PRECHARGE, column=8)
    trace.wait(t.wr + t.rp)
    trace.activate(wait=max(t.ras, t.rc - t.rp))
    trace.rise(Command.PRECHARGE, address=ALL_BANKS)
    trace.wait(t.rp)
    trace.rise(Command.REFRESH)
    trace.wait(t.rfc)
    trace.activate()
    before = [3 * n + 1 for n in range(BURST)]
    for start, words in ((first, before), (second, WORDS), (third, WORDS)):
        # Driven from the edge before the one that takes it.
        assert [trace.out.pop(start + trace.cas - 1 + n) for n in range(BURST)] == words
    assert trace.out == {}
    assert [trace.model.words[8 + n] for n in range(BURST)] == WORDS[::-1]


def _up(trace):
    trace.power_up()
    return trace.t


def power_up(trace):
    trace.power_up(wait=1)


def initialise_refreshes(trace):
    trace.power_up(refreshes=INIT_REFRESHES - 1)


def initialise_banks(trace):
    trace.wait(trace.t.power_up + 1)
    trace.rise(Command.REFRESH)


def initialise_mode(trace):
    trace.wait(trace.t.power_up + 1)
    trace.rise(Command.ACTIVATE)


def cke(trace):
    _up(trace)
    trace.rise(cke=0)


def command(trace):
    _up(trace)
    trace.rise(Command.STOP)


def mode_burst(trace):
    trace.power_up(setting=1)


def mode_bank(trace):
    trace.power_up(bank=1)


def cas_latency(trace):
    trace.cas = 1
    trace.power_up()


def cas_clock(trace):
    fast = SdramModel(trace.model.part, int(1e9 / trace.model.part.cycle_ns(3)) + 10**6)
    trace.model, trace.cas = fast, 3
    trace.t = replace(trace.t, power_up=2 * trace.t.power_up, rp=9, rfc=15)
    trace.power_up()


def t_mrd(trace):
    trace.power_up(mrd=1)
    trace.activate()


def t_rcd(trace):
    t = _up(trace)
    trace.activate(wait=t.rcd - 1)
    trace.read()


def t_rp(trace):
    t = _up(trace)
    trace.activate(wait=max(t.ras, t.rc))
    trace.rise(Command.PRECHARGE)
    trace.wait(t.rp - 1)
    trace.rise(Command.ACTIVATE)


def t_rp_alone(trace):
    t = _up(trace)
    trace.activate()
    trace.read(auto=AUTO_PRECHARGE)
    trace.wait(t.rp)
    trace.rise(Command.ACTIVATE)


def t_rp_refresh(trace):
    trace.power_up(rp=1)


def t_rp_after_write(trace):
    t = _up(trace)
    trace.activate()
    trace.write(WORDS, auto=AUTO_PRECHARGE)
    trace.wait(t.wr + t.rp - 1)
    trace.rise(Command.ACTIVATE)


def t_ras(trace):
    t = _up(trace)
    trace.activate(wait=t.ras - 1)
    trace.rise(Command.PRECHARGE)


def t_ras_max(trace):
    _up(trace)
    trace.model._longest_wait = 10**9  # a row that is open for so long can't be refreshed either
    trace.activate(wait=int(trace.model.part.ras_max_ns * trace.model.clock_hz / 1e9) + 3)


def t_rc(trace):
    t = _up(trace)
    # Longer than tRAS and tRP together, as no part of the table has it at this frequency.
    rc = replace(trace.model.part.rc, clocks=t.ras + t.rp + 1)
    trace.model.part = replace(trace.model.part, rc=rc)
    trace.activate(wait=t.ras)
    trace.rise(Command.PRECHARGE)
    trace.wait(t.rp)
    trace.rise(Command.ACTIVATE)


def t_rrd(trace):
    t = _up(trace)
    trace.activate(wait=t.rrd - 1)
    trace.activate(bank=1)


def t_wr(trace):
    t = _up(trace)
    trace.activate()
    trace.write(WORDS)
    trace.wait(t.wr - 1)
    trace.rise(Command.PRECHARGE)


def t_wr_in_a_burst(trace):
    t = _up(trace)
    trace.activate(wait=t.ras)
    trace.write(WORDS[:-1])
    trace.rise(Command.PRECHARGE, data=0)


def t_rfc(trace):
    trace.power_up(rfc=1)


def t_refi(trace):
    _up(trace)
    trace.wait(trace.t.refresh + 1)


def closed(trace):
    _up(trace)
    trace.read()


def closed_by_itself(trace):
    _up(trace)
    trace.activate()
    trace.read(auto=AUTO_PRECHARGE, wait=BURST)
    trace.read()


def open_row(trace):
    t = _up(trace)
    trace.activate(wait=t.rc)
    trace.rise(Command.ACTIVATE)


def open_refresh(trace):
    t = _up(trace)
    trace.activate(wait=t.rc)
    trace.rise(Command.REFRESH)


def open_mode(trace):
    t = _up(trace)
    trace.activate(wait=t.rc)
    trace.rise(Command.MODE, address=mode(trace.cas))


def cut_by_read(trace):
    _up(trace)
    trace.activate()
    trace.read(auto=AUTO_PRECHARGE, wait=BURST - 1)
    trace.read()


def cut_by_precharge(trace):
    t = _up(trace)
    trace.activate(wait=t.ras)
    trace.read(auto=AUTO_PRECHARGE, wait=BURST - 1)
    trace.rise(Command.PRECHARGE)


def contention(trace):
    _up(trace)
    trace.activate()
    trace.read(wait=trace.cas)
    trace.rise(data=0)


def turnaround(trace):
    _up(trace)
    trace.activate()
    trace.read(wait=trace.cas + BURST)
    trace.rise(data=0)


def undriven(trace):
    _up(trace)
    trace.activate()
    trace.write([*WORDS[:-1], None])


BREACHES = {
    power_up: "power-up",
    initialise_refreshes: "initialise",
    initialise_banks: "initialise",
    initialise_mode: "initialise",
    cke: "cke",
    command: "command",
    mode_burst: "mode",
    mode_bank: "mode",
    cas_latency: "cas",
    cas_clock: "cas",
    t_mrd: "tMRD",
    t_rcd: "tRCD",
    t_rp: "tRP",
    t_rp_alone: "tRP",
    t_rp_refresh: "tRP",
    t_rp_after_write: "tRP",
    t_ras: "tRAS",
    t_ras_max: "tRAS max",
    t_rc: "tRC",
    t_rrd: "tRRD",
    t_wr: "tWR",
    t_wr_in_a_burst: "tWR",
    t_rfc: "tRFC",
    t_refi: "tREFI",
    closed: "closed",
    closed_by_itself: "closed",
    open_row: "open",
    open_refresh: "open",
    open_mode: "open",
    cut_by_read: "cut",
    cut_by_precharge: "cut",
    contention: "contention",
    turnaround: "turnaround",
    undriven: "undriven",
}


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.__name__)
@pytest.mark.parametrize("grade", GRADES)
def test_a_breach_is_caught(grade, breach):
    with pytest.raises(SdramError) as caught:
        breach(Trace(grade))
    assert caught.value.rule == BREACHES[breach]


def test_each_rule_has_a_breach():
    assert set(BREACHES.values()) == set(RULES)


@pytest.mark.parametrize("cut", [Command.READ, Command.WRITE, Command.PRECHARGE])
def test_a_burst_cut_short(cut):
    """Words of a read that is cut do not come from the CAS latency after the cut on."""
    trace = Trace("ULX3S")
    trace.power_up()
    trace.activate(wait=trace.t.ras)
    start = trace.read(wait=5)
    if cut is Command.WRITE:
        with pytest.raises(SdramError, match="contention"):
            trace.write(WORDS)
        return
    trace.rise(cut)
    trace.wait(BURST + trace.cas)
    words = [trace.out.get(start + trace.cas - 1 + n) for n in range(BURST)]
    before = [3 * n + 1 for n in range(BURST)]
    assert words == before[:5] + (before[:3] if cut is Command.READ else [None] * 3)


def test_masks():
    """A byte that is masked stays; a word to be read is hidden two clocks later."""
    trace = Trace("ULX3S")
    trace.power_up()
    trace.activate()
    trace.rise(Command.WRITE, data=0xABCD, mask=0b01)
    for mask in (0b10, 0b11, 0, 0, 0, 0, 0):
        trace.rise(data=0x5678, mask=mask)
    words = [trace.model.words[n] for n in range(3)]
    assert words == [0xAB01, 0x0078, 7]
    start = trace.rise(Command.READ)
    trace.rise(mask=0b11)
    trace.wait(BURST + trace.cas)
    assert sorted(trace.out) == [start + 2 + n for n in range(1, BURST)]
