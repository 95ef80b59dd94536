"""The protocol assertions: what the golden host expects passes, each planted violation does not."""

import inspect

import numpy as np
import pytest

from sterna.spec.pcie import BEAT_BITS, LINK
from tests.pcie import rules
from tests.pcie.host import IO_READ, LOCKED, READ, WRITE, Host
from tests.pcie.rules import CompletionRules, Packet, ProtocolError


def words_of(beats):
    """Packets as lists of words."""
    packets, words = [], []
    for beat in beats:
        count = beat["keep"].bit_length()
        words += [beat["data"] >> 32 * n & 0xFFFFFFFF for n in range(count)]
        if beat["last"]:
            packets.append(words)
            words = []
    return packets


def exchange(width, *requests):
    """Rules that know of the requests, and the beats that the golden host expects."""
    host, watch = Host(np.random.default_rng(3), width), CompletionRules(width)
    for kind, address, count, first, last in requests:
        before = len(host.cq)
        host.send(kind, address, [1] * (kind == WRITE), count=count, first=first, last=last)
        (words,) = words_of(host.cq[before:])
        watch.request(Packet(words[:4], first, last))
    return watch, host.cc


def play(watch, beats):
    """Show beats, and a clock without one for None."""
    for beat in beats:
        if beat is None:
            watch.clock(0, 1)
        else:
            watch.clock(1, beat.get("ready", 1), beat["data"], beat["keep"], beat["last"])
    watch.end()


@pytest.mark.parametrize("width", BEAT_BITS)
def test_good_ones_pass(width):
    asked = [(READ, 4 * n, 1, enables, 0) for n, enables in enumerate((15, 0, 1, 6, 9, 12, 8))]
    asked += [(READ, 4 * 20, 90, 8, 1), (READ, 0, 32, 15, 15), (READ, LINK, 1, 15, 0)]
    asked += [(LOCKED, 8, 3, 12, 3), (IO_READ, 8, 1, 15, 0), (WRITE, 4, 1, 15, 0)]
    watch, beats = exchange(width, *asked)
    play(watch, [x for beat in beats for x in ({**beat, "ready": 0}, beat)])
    assert watch.packets == 7 + 4 + 1 + 1 + 2


def read(count=1, address=8, first=15, last=None):
    last = (15 if count > 1 else 0) if last is None else last
    return lambda: exchange(64, (READ, address, count, first, last))


def changed(at, **parts):
    """The same beats with parts of one of them changed, by value or by function of the old."""

    def change(beats):
        beats = [dict(beat) for beat in beats]
        for name, new in parts.items():
            beats[at][name] = new(beats[at].get(name)) if callable(new) else new
        return beats

    return change


def bit(number):
    return lambda data: data ^ 1 << number


def insert(at, *new):
    return lambda beats: [*beats[:at], *(n(beats) if callable(n) else n for n in new), *beats[at:]]


def locked():
    return exchange(64, (LOCKED, 8, 1, 15, 0))


# Beats of 64 bits: lower address and byte count are in bits 0 to 28 of the first, the length from
# bit 32 of it on, the status from bit 43 on; tag and function begin the second.
VIOLATIONS = {
    "a beat changed before it was taken": (
        read(), insert(0, lambda beats: {**beats[0], "ready": 0, "data": beats[0]["data"] ^ 4})),
    "valid fell within a packet": (read(), insert(1, None)),
    "words of a beat are missing": (read(), changed(1, keep=2)),
    "a beat before the last is not full": (read(), changed(0, keep=1)),
    "a descriptor is not whole": (read(), lambda beats: [{**beats[0], "last": 1}]),
    "nobody waits for this completion": (read(), lambda beats: [*beats, *beats]),
    "a reserved bit is set": (read(), changed(0, data=bit(7))),
    "class or attributes differ": (read(), changed(1, data=bit(28))),
    "another function answers": (read(), changed(1, data=bit(8))),
    "the address type differs": (read(), changed(0, data=bit(8))),
    "locked or not, as it was asked": (read(), changed(0, data=bit(29))),
    "the byte count is not what is left": (read(), changed(0, data=bit(17))),
    "the lower address is not that of the first byte": (read(), changed(0, data=bit(2))),
    "a failure has no data": (locked, changed(0, data=bit(32))),
    "the request does not follow a failure": (locked, changed(2, data=bit(5))),
    "a failure after data": (read(40, 0), None),
    "what is not supported succeeds": (locked, changed(0, data=bit(43))),
    "length and words differ": (read(), changed(0, data=bit(33))),
    "the payload is too long": (read(34, 0), None),
    "more than was asked": (read(), None),
    "cut elsewhere than at a boundary": (read(4, 0), None),
    "a request was not answered": (read(), lambda beats: []),
    "a packet has no end": (read(), lambda beats: [*beats, beats[0]]),
}  # fmt: skip


def completion(request, low, size, words, status=0):
    """A completion by hand, as beats of 64 bits."""
    head = [low | (request[0] & 3) << 8 | size << 16, len(words) | status << 11]
    head[1] |= request[2] >> 16 << 16
    body = [*head, request[3] & 0xFFFF | request[3] >> 25 << 25, *words]
    beats = []
    for start in range(0, len(body), 2):
        part = body[start : start + 2]
        data = sum(word << 32 * n for n, word in enumerate(part))
        beats.append(
            {"data": data, "keep": (1 << len(part)) - 1, "last": int(start + 2 >= len(body))}
        )
    return beats


def by_hand(rule, watch):
    """Beats that break a rule which no single changed bit breaks."""
    (packet,) = watch.waiting.values()
    ask = packet.words
    if rule == "a failure after data":
        log = [packet.first | packet.last << 4, *ask]
        failure = completion(ask, 0, 32, log, 1)
        failure[0]["data"] &= ~(0x7FF << 32)
        return [*completion(ask, 0, 160, [0] * 32), *failure]
    if rule == "the payload is too long":
        return completion(ask, 0, 136, [0] * 34)
    if rule == "more than was asked":
        return completion(ask, 8, 4, [0] * 2)
    assert rule == "cut elsewhere than at a boundary"
    return [*completion(ask, 0, 16, [0] * 2), *completion(ask, 8, 8, [0] * 2)]


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_planted_violation_is_caught(rule):
    make, change = VIOLATIONS[rule]
    watch, beats = make()
    beats = change(beats) if change else by_hand(rule, watch)
    with pytest.raises(ProtocolError, match=f"^{rule}$"):
        play(watch, beats)


def test_each_rule_has_its_violation():
    source = inspect.getsource(rules)
    assert all(f'"{rule}"' in source for rule in VIOLATIONS)
    assert source.count("self._rule(") == len(VIOLATIONS)
