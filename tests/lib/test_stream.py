"""connect_stream refuses what Amaranth's connect lets through."""

import pytest
from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import ConnectionError, flipped

from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, payload_shape

TWO = data.StructLayout({"a": 4, "b": 4})
ONE = data.StructLayout({"x": 8})


class Pair(data.Struct):
    a: 4
    b: 4


class Colour(enum.Enum, shape=8):
    RED = 0


@pytest.mark.parametrize(
    "given, wanted",
    [(TWO, ONE), (8, signed(8)), (8, 9), (8, ONE), (Colour, 8), (data.ArrayLayout(4, 2), TWO)],
)
def test_refuses_other_shapes(given, wanted):
    with pytest.raises(TypeError, match="cannot connect a stream of"):
        connect_stream(Module(), Queue(given, 2).o, Queue(wanted, 2).i)


@pytest.mark.parametrize("given, wanted", [(8, unsigned(8)), (Pair, TWO), (range(16), 4)])
def test_takes_equal_shapes(given, wanted):
    connect_stream(Module(), Queue(given, 2).o, Queue(wanted, 2).i)


def test_own_ports_need_no_flip():
    outer, inner = Queue(Pair, 2), Queue(Pair, 2)
    assert payload_shape(outer.i) is Pair
    assert payload_shape(flipped(outer.i)) is Pair
    connect_stream(Module(), outer.i, inner.i)
    connect_stream(Module(), inner.o, outer.o)


def test_refuses_what_cannot_wait():
    never_waits = stream.Signature(8, always_ready=True).create()
    with pytest.raises(ConnectionError, match="always_ready"):
        connect_stream(Module(), never_waits, Queue(8, 2).i)
    always_has = stream.Signature(8, always_valid=True).create()
    with pytest.raises(ConnectionError, match="always_valid"):
        connect_stream(Module(), Queue(8, 2).o, always_has)


def test_refuses_what_is_no_stream():
    with pytest.raises(TypeError, match="stream interface is expected"):
        connect_stream(Module(), Signal(8), Queue(8, 2).i)
