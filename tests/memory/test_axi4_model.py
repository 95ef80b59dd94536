"""The model of an AXI4 memory: it gives words, late and with pauses, and catches each breach."""

import pytest

from sterna.spec.axi4 import BEATS, Axi4, Burst
from sterna_sim.axi4_model import RULES, Axi4Error, Behaviour, ReadPort, WritePort

MEMORY = Axi4(data_bits=256, ports=2, port_bytes=1 << 16, spacing=1 << 20, outstanding=2)
WORDS = {n: 3 * n + 1 for n in range(MEMORY.words)}
FULL = BEATS * MEMORY.beat_bytes


def port(**behaviour):
    return ReadPort(MEMORY, 1, Behaviour(**behaviour), WORDS, seed=1)


def clock(model, address=None, **pins):
    """One clock of a port; return what it shows."""
    shown = model.drive()
    asks = {"arvalid": int(address is not None), "araddr": address or 0, "arlen": BEATS - 1}
    fixed = {"arid": 0, "arsize": 5, "arburst": Burst.INCR, "rready": 1}
    model.sample((asks | fixed | pins).__getitem__)
    return shown


def beats(model, clocks=200):
    """What comes, by clock."""
    found = {}
    for _ in range(clocks):
        at, shown = model.clock, clock(model)
        if shown["rvalid"]:
            found[at] = shown
    return found


def test_answers_after_its_latency():
    model = port(latency=9)
    clock(model, MEMORY.spacing + FULL)
    clock(model, MEMORY.spacing)
    found = beats(model)
    words = [*range(BEATS, 2 * BEATS), *range(BEATS)]
    assert list(found) == list(range(9, 9 + 2 * BEATS))
    assert [beat["rdata"] for beat in found.values()] == [WORDS[word] for word in words]
    assert [beat["rlast"] for beat in found.values()] == ([0] * (BEATS - 1) + [1]) * 2
    assert {beat["rresp"] for beat in found.values()} == {0}
    model.check()


def test_failing_word():
    model = port(failing=frozenset([(1, 3), (0, 4)]))
    clock(model, MEMORY.spacing)
    assert [beat["rresp"] for beat in beats(model).values()] == [0, 0, 0, 2] + [0] * (BEATS - 4)


def test_refresh():
    """Port 1 of 2 rests half a period after port 0."""
    model = port(latency=1, refresh=(20, 5))
    while model.clock < 100:
        clock(model, MEMORY.spacing)
    assert not any(5 <= at % 20 - 5 < 10 for at in beats(model) if at < 100)
    resting = ReadPort(MEMORY, 0, Behaviour(latency=1, refresh=(20, 20)), WORDS, seed=1)
    clock(resting, 0)
    assert not beats(resting)
    with pytest.raises(AssertionError, match="still to come"):
        resting.check()


def test_pace():
    """Three beats in four clocks, and none saved up for longer than that."""
    model = port(latency=1, pace=(3, 4))
    for _ in range(40):  # a port that has nothing to do
        clock(model)
    clock(model, MEMORY.spacing)
    found = sorted(beats(model))
    assert len(found) == BEATS
    for first, last in zip(found, found[3:], strict=False):
        assert last - first == 4


def test_pauses():
    model = port(latency=1, pauses=0.5)
    taken = sum(clock(model)["arready"] for _ in range(400))
    assert 150 < taken < 250
    while clock(model, MEMORY.spacing)["arready"] == 0:
        pass
    found = list(beats(model))
    assert len(found) == BEATS
    assert found[-1] - found[0] > BEATS


def test_surplus():
    model = port(surplus=(2,))
    assert list(beats(model, 10)) == [2]


@pytest.mark.parametrize(
    ("rule", "address", "pins"),
    [
        ("page", 4096 - FULL + 32, {}),
        ("burst", 0, {"arburst": Burst.FIXED}),
        ("burst", 0, {"arburst": Burst.WRAP}),
        ("burst", 0, {"arsize": 4}),
        ("length", 0, {"arlen": BEATS}),
        ("aligned", 16, {"arlen": 0}),
        ("range", MEMORY.port_bytes, {}),
        ("range", -MEMORY.spacing, {}),
        ("id", 0, {"arid": 1}),
        ("ready", 0, {"rready": 0}),
    ],
)
def test_breach(rule, address, pins):
    model = port()
    clock(model, MEMORY.spacing + 4096 - FULL)
    with pytest.raises(Axi4Error) as error:
        clock(model, MEMORY.spacing + address, **pins)
    assert error.value.rule == rule


@pytest.mark.parametrize("pins", [{"arvalid": 0}, {"araddr": MEMORY.spacing + FULL}, {"arlen": 3}])
def test_address_must_be_held(pins):
    model = port(pauses=1)
    clock(model, MEMORY.spacing)
    clock(model, MEMORY.spacing)
    with pytest.raises(Axi4Error) as error:
        clock(model, MEMORY.spacing, **pins)
    assert error.value.rule == "stable"


def write(model, beats, address=None, **pins):
    """Clocks of a port that is given these beats, and one more until it answers."""
    fixed = {"awid": 0, "awsize": 5, "awburst": Burst.INCR, "awlen": len(beats) - 1, "bready": 1}
    found = []
    for number, data in enumerate([*beats, *[None] * 20]):
        given = data is not None
        last = {"wdata": data or 0, "wstrb": (1 << 32) - 1, "wlast": number == len(beats) - 1}
        first = {"awvalid": number == 0, "awaddr": MEMORY.spacing if address is None else address}
        shown = model.drive()
        model.sample((fixed | first | last | {"wvalid": given} | pins).__getitem__)
        found += [(number, shown["bresp"])] if shown["bvalid"] else []
    return found


def written(**behaviour):
    return WritePort(MEMORY, 1, Behaviour(**behaviour), {}, seed=1)


def test_writes():
    model = written(latency=7)
    assert write(model, [5, 6, 7]) == [(2 + 7, 0)]
    assert model.words == {0: 5, 1: 6, 2: 7}
    model.check()


def test_failing_write():
    model = written(latency=1, failing=frozenset([(1, 1), (0, 0)]))
    assert write(model, [5, 6, 7]) == [(3, 2)]
    assert model.words == {0: 5, 2: 7}


def test_write_left_over():
    model = written()
    write(model, [1, 2], awlen=2)
    with pytest.raises(AssertionError, match="not complete"):
        model.check()


@pytest.mark.parametrize(
    ("rule", "pins"),
    [
        ("last", {"wlast": 1}),
        ("last", {"wlast": 0}),
        ("strobe", {"wstrb": 1}),
        ("ready", {"bready": 0}),
        ("id", {"awid": 1}),
        ("page", {"awaddr": MEMORY.spacing + 4096 - 32}),
    ],
)
def test_breach_of_a_write(rule, pins):
    with pytest.raises(Axi4Error) as error:
        write(written(), [1, 2], **pins)
    assert error.value.rule == rule


def test_beats_must_be_held():
    with pytest.raises(Axi4Error) as error:
        write(written(pauses=1), [1, 2])
    assert error.value.rule == "stable"


def test_every_rule_is_tried():
    breaches = (test_breach, test_breach_of_a_write)
    tried = {case[0] for test in breaches for case in test.pytestmark[0].args[1]}
    assert tried | {"stable"} == set(RULES)
