"""Parts of the compact arithmetic behind streams."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.compact.sums import Largest, Total
from sterna_rtl.lib.stream import transfers

__all__ = ["Gathered", "Together"]


class Together(Component):
    """A pipeline whose inputs are one number, so that one stream drives them; but some are 0."""

    def __init__(self, unit, still=()):
        self.unit = unit
        members = {name: one for name, one in unit.signature.members.items() if name not in still}
        self.given = {name: one.shape for name, one in members.items() if one.flow == In}
        self.latency = unit.latency
        results = {name: one for name, one in members.items() if one.flow == Out}
        super().__init__({"value": In(StructLayout(self.given)), **results})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        for name, member in unit.signature.members.items():
            if name in self.given:
                m.d.comb += getattr(unit, name).eq(self.value[name])
            elif member.flow == Out:
                m.d.comb += getattr(self, name).eq(getattr(unit, name))
        return m


class Gathered(Component):
    """Total and Largest of one product after the other, shown after each."""

    def __init__(self, total=Total, largest=Largest):
        self.total, self.largest = total(), largest()
        shown = {
            "total": self.total.total.shape(),
            "rest": self.largest.rest.shape(),
            "more": 1,
        }
        given = {
            "product": self.total.product.shape(),
            "addend": self.largest.addend.shape(),
            "signed": 1,
            "clear": 1,
        }
        super().__init__(
            {
                "i": In(stream.Signature(StructLayout(given))),
                "o": Out(stream.Signature(StructLayout(shown))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.total, m.submodules.largest = total, largest = self.total, self.largest
        given, moves, coming = self.i.payload, transfers(self.i), Signal()
        held = Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid & ~coming),
            total.product.eq(given.product),
            largest.product.eq(given.product),
            largest.addend.eq(given.addend),
            largest.signed.eq(Mux(moves, given.signed, held)),
            total.clear.eq(moves & given.clear),
            largest.clear.eq(moves & given.clear),
            total.add.eq(moves & ~given.product[-1] & ~given.clear),  # squares only
            largest.compare.eq(moves & ~given.clear),
            self.o.payload.total.eq(total.total),
            self.o.payload.rest.eq(largest.rest),
            self.o.payload.more.eq(largest.more),
        ]
        m.d.sync += [coming.eq(moves), held.eq(largest.signed)]
        with m.If(coming | self.o.ready):
            m.d.sync += self.o.valid.eq(coming)
        return m
