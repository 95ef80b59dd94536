"""Items pack as Amaranth packs them, and ports are found wherever they are."""

import enum

import numpy as np
import pytest
from amaranth import signed, unsigned
from amaranth.back import verilog
from amaranth.hdl import Const
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, Signature

from sterna_sim.kit.ports import Codec, Ports


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Inner(data.Struct):
    a: signed(3)
    b: Colour


LAYOUT = data.StructLayout({"x": data.ArrayLayout(signed(8), 3), "y": Inner, "z": unsigned(5)})
ITEM = {"x": [-1, 5, -128], "y": {"a": -4, "b": Colour.BLUE}, "z": 31}


def test_packs_as_amaranth_does():
    bits = Codec(LAYOUT).pack(ITEM)
    assert bits == Const.cast(LAYOUT.const(ITEM)).value
    assert Codec(LAYOUT).unpack(bits) == {**ITEM, "y": {"a": -4, "b": 2}}


def test_takes_numpy():
    assert Codec(data.ArrayLayout(signed(8), 3)).pack(np.array([-1, 0, 1], np.int8)) == 0x0100FF
    assert Codec(signed(16)).pack(np.int64(-2)) == 0xFFFE


@pytest.mark.parametrize(
    "shape, item, message",
    [
        (signed(8), 128, "128 is not in -128..127"),
        (4, -1, "-1 is not in 0..15"),
        (LAYOUT, {**ITEM, "z": 32}, "z: 32 is not in"),
        (LAYOUT, {"x": [0, 0, 0]}, "fields .* are expected"),
        (LAYOUT, {**ITEM, "x": [0]}, "3 elements are expected"),
    ],
)
def test_refuses_what_does_not_fit(shape, item, message):
    with pytest.raises(ValueError, match=message):
        Codec(shape).pack(item)


BUS = Signature({"addr": Out(4), "data": In(signed(8)), "items": Out(stream.Signature(Inner))})


class Many(Component):
    """Streams in arrays and in bundles, plain ports beside them."""

    i: In(stream.Signature(8)).array(2)
    o: Out(stream.Signature(LAYOUT))
    bus: Out(BUS)
    back: In(BUS)
    mode: In(Colour)

    def elaborate(self, platform):
        from amaranth import Module

        m = Module()
        m.d.comb += self.o.valid.eq(self.i[0].valid & self.i[1].valid)
        return m


def test_finds_all_ports_under_their_verilog_names():
    unit = Many()
    ports = Ports.of(unit)
    assert set(ports.inputs) == {"i__0", "i__1", "back__items"}
    assert set(ports.outputs) == {"o", "bus__items"}
    assert set(ports.plain) == {"bus__addr", "bus__data", "back__addr", "back__data", "mode"}
    plain_driven = {name for name in ports.plain if name in ports.driven}
    assert plain_driven == {"bus__data", "back__addr", "mode"}
    text = verilog.convert(unit, emit_src=False)
    for name in ports.signals:
        kind = "input" if name in ports.driven else "output"
        assert any(
            line.split()[0] == kind and line.split()[-1] == f"{name};"
            for line in text.splitlines()
            if line.strip()
        ), name


def test_refuses_constant_ready():
    class Never(Component):
        o: Out(stream.Signature(8, always_ready=True))

    with pytest.raises(TypeError, match="o: constant valid or ready"):
        Ports.of(Never())
