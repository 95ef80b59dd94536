"""The protocol assertions on RQ: right requests pass, each planted violation does not."""

import re

import pytest

from sterna.spec.pcie import BEAT_BITS
from tests.pcie.host import pack_beats
from tests.pcie.request_rules import REQUEST_RULES, Asked, RequestRules
from tests.pcie.rules import ProtocolError

PAGE = 0x12_3456_7000
RING = 0x9_8765_4000
ENABLES = {64: 0xFF, 128: 0xFF, 256: 0xFF, 512: 0xF0F}


def read(address=PAGE, size=512, tag=3, kind=0, extra=(), enables=None, width=64):
    """Beats of a read."""
    words = [address & 0xFFFFFFFF, address >> 32, size // 4 | kind << 11, tag, *extra]
    return pack_beats(width, words, ENABLES[width] if enables is None else enables)


def write(address=RING, size=8, **options):
    """Beats of a write."""
    return read(address, size, 0, 1, extra=range(size // 4), **options)


def play(width, beats):
    """Show beats, and a clock without one for None."""
    rules = RequestRules(width, 512, [(PAGE, 0x2000), (0x8000, 0x1000)])
    rules.writable = [(RING, 0x1000)]
    asked = []
    for beat in beats:
        if beat is None:
            rules.clock(0, 1)
        else:
            parts = (beat[name] for name in ("data", "keep", "last", "user"))
            asked.append(rules.clock(1, beat.get("ready", 1), *parts))
    rules.end()
    asked += [Asked(address, 4 * len(words), 0) for address, words in rules.written]
    return [(each.address, each.bytes, each.tag) for each in asked if each]


@pytest.mark.parametrize("width", BEAT_BITS)
def test_good_ones_pass(width):
    reads = [(PAGE, 512, 3), (PAGE + 0x1E00, 512, 0), (0x8F80, 128, 255)]
    beats = [beat for at, size, tag in reads for beat in read(at, size, tag, width=width)]
    waiting = [x for beat in beats for x in ({**beat, "ready": 0}, beat)]
    assert play(width, beats) == play(width, waiting) == reads


@pytest.mark.parametrize("width", BEAT_BITS)
def test_good_writes_pass(width):
    writes = [(RING, 8, 0), (RING + 0xFF8, 8, 0), (RING + 0xF80, 128, 0)]
    beats = [beat for at, size, _ in writes for beat in write(at, size, width=width)]
    waiting = [x for beat in beats for x in ({**beat, "ready": 0}, beat)]
    assert play(width, beats) == play(width, waiting) == writes


def changed(at, **parts):
    beats = read()
    beats[at] |= parts
    return beats


good = read()
VIOLATIONS = {
    "stable": [{**good[0], "ready": 0, "data": 8}, *good],
    "gap": [good[0], None, good[1]],
    "keep": changed(1, keep=2),
    "length": read(extra=(0,)),
    "kind": read(kind=2),
    "reserved": read(address=PAGE + 1),
    "bytes": read(enables=0x7F),
    "empty": read(size=0),
    "longest": read(size=1024),
    "page": read(address=PAGE + 0xF80),
    "tag": [*read(), *read(address=PAGE + 512)],
    "place": read(address=PAGE - 512),
    "payload": write(size=256),
    "writable": write(address=PAGE),
}
MORE = {
    "taken back": ("stable", [{**good[0], "ready": 0}, None]),
    "no end": ("gap", good[:1]),
    "not a full beat": ("keep", changed(0, keep=1)),
    "a descriptor cut short": ("length", [{**good[0], "last": 1}]),
    "a write without its words": ("length", read(kind=1)),
    "a write over the end": ("page", write(address=RING + 0xFFC)),
    "a write beside the ring": ("writable", write(address=RING - 8)),
    "a read of the ring": ("place", read(address=RING)),
    "a requester": ("reserved", [good[0], {**good[1], "data": good[1]["data"] | 1 << 16}]),
    "the end is outside": ("place", read(address=0x9000)),
    "the last bytes of 512 bits as of fewer": ("bytes", None),
}


def test_every_rule_is_broken_once():
    assert set(VIOLATIONS) == set(REQUEST_RULES)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_violations(rule):
    with pytest.raises(ProtocolError, match=f"^{re.escape(REQUEST_RULES[rule])}$"):
        play(64, VIOLATIONS[rule])


@pytest.mark.parametrize("name", MORE)
def test_more_violations(name):
    rule, beats = MORE[name]
    width = 64 if beats else 512
    with pytest.raises(ProtocolError, match=f"^{re.escape(REQUEST_RULES[rule])}$"):
        play(width, beats or read(width=512, enables=0xFF))
