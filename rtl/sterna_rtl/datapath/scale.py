"""Output scale of a segment, computed beside its activations."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.golden.scale import ROOT_BITS
from sterna.spec import tables
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import DENOMINATOR_BITS, SCALE_BITS
from sterna_rtl.arith.curve import Curve
from sterna_rtl.arith.normalise import Normalise
from sterna_rtl.datapath.statistics import SUMS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import connect_stream

__all__ = ["JOB_FIELDS", "Scale", "request_layout"]

JOB_FIELDS = "eps_mantissa", "eps_exponent", "eps_constant", "scale_mantissa", "scale_exponent"
"""What a scale needs of the header."""

_ROOT = StructLayout({"mantissa": SCALE_BITS, "exponent": signed(7)})
_PRODUCT_BITS = 2 * SCALE_BITS
_TERM_SHIFT = 15
"""Most places by which the eps term's product moves up; it always moves that far, and then down."""


def request_layout(config: ChipConfig) -> StructLayout:
    """Return the layout of a request for a scale.

    `fresh` says that the sums are new, otherwise the slot's last root serves again. `mantissa` (of
    `SCALE_BITS`) and `exponent` are the largest product's; the other fields are the header's.
    """
    job = Layouts(config).quantizer_job.members
    return StructLayout(
        {
            "fresh": 1,
            "slot": Layouts(config).slot,
            "sums": SUMS,
            "mantissa": SCALE_BITS,
            "exponent": signed(6),
            **{name: job[name] for name in JOB_FIELDS},
        }
    )


class Scale(Component):
    """Compute ``largest * constant / sqrt(sum1 + eps * sum2 + eps_constant)``.

    Every product is cut to 16 bits (`sterna.golden.scale`). One multiplier and one shifter take
    turns. The shifter moves to the left; turned round, it also moves the
    eps term to the right.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        Requests (`request_layout`). Mantissas of largest product and constant are normalised or 0.
    o : stream.Interface
        Scales.
    latency, fresh_latency : int
        Clocks from a request to its scale, with the last root and with new sums.

    Latency
        6 clocks; with new sums 21.

    Throughput
        One request at a time; the next is accepted on the clock on which the scale can be taken.

    Backpressure
        Holds two scales and computes the next.
    """

    latency = 6
    fresh_latency = 21

    def __init__(self, config: ChipConfig) -> None:
        self.slots = config.slots
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(config))),
                "o": Out(stream.Signature(layouts.scale)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.shifter = shifter = Normalise(DENOMINATOR_BITS)
        m.submodules.inverse_root = inverse_root = Curve(tables.inverse_root(), ROOT_BITS)
        request = self.i.payload
        eps_exponent = Signal.like(request.eps_exponent)
        largest = Signal(SCALE_BITS)
        constant = Signal(SCALE_BITS)
        exponent = Signal(signed(10))
        denominator = Signal(DENOMINATOR_BITS)
        places = Signal.like(shifter.i.payload.places)
        slot = Signal.like(request.slot)
        roots = Signal(ArrayLayout(_ROOT, self.slots))
        a, b = Signal(SCALE_BITS), Signal(SCALE_BITS)
        product = Signal(_PRODUCT_BITS, reset_less=True)  # the multiplier's own register
        m.d.sync += product.eq(a * b)
        # Two normalised mantissas: their product has its uppermost bit in one of two places.
        upper = product[-1]
        mantissa = Mux(upper, product[SCALE_BITS:], product[SCALE_BITS - 1 : -1])
        m.d.comb += shifter.o.ready.eq(1)
        moved = shifter.o.payload
        m.d.comb += inverse_root.position.eq(moved.value[-ROOT_BITS:])
        # What is shifted comes from three places and is counted through at once: a register parts
        # the choice from the count.
        shift = shifter.i.payload
        m.d.sync += shifter.i.valid.eq(0)

        m.submodules.scales = scales = Queue(self.o.payload.shape(), 2)
        connect_stream(m, scales.o, self.o)
        with m.FSM(name="scale"):
            with m.State("REQUEST"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    shifter.i.valid.eq(self.i.valid & request.fresh),
                    shift.value.eq(request.sums.sum2),
                    shift.given.eq(0),
                    shift.even.eq(0),
                    eps_exponent.eq(request.eps_exponent),
                    largest.eq(request.mantissa),
                    constant.eq(request.scale_mantissa),
                    exponent.eq(request.exponent + request.scale_exponent),
                    b.eq(request.eps_mantissa),
                    slot.eq(request.slot),
                    denominator.eq(request.sums.sum1 + request.eps_constant),
                ]
                with m.If(self.i.valid):
                    m.next = "LARGEST"
                    with m.If(request.fresh):
                        m.next = "SECOND SUM"
            with m.State("SECOND SUM"):
                m.d.sync += a.eq(moved.value[-SCALE_BITS:])
                m.d.sync += places.eq(_term_places(moved.places, eps_exponent))
                with m.If(shifter.o.valid):
                    m.next = "EPS PRODUCT"
            with m.State("EPS PRODUCT"):
                m.next = "TERM"
            with m.State("TERM"):
                term = Cat(C(0, _TERM_SHIFT), product, C(0, DENOMINATOR_BITS))[:DENOMINATOR_BITS]
                m.d.sync += [
                    shifter.i.valid.eq(1),
                    shift.value.eq(term[::-1]),
                    shift.given.eq(1),
                    shift.places.eq(places),
                ]
                m.next = "DENOMINATOR"
            with m.State("DENOMINATOR"):
                with m.If(shifter.o.valid):
                    total = denominator + moved.value[::-1]
                    m.d.sync += [
                        denominator.eq(total),
                        shifter.i.valid.eq(1),
                        shift.value.eq(total),
                        shift.given.eq(0),
                        shift.even.eq(1),
                    ]
                    m.next = "INVERSE ROOT"
            with m.State("INVERSE ROOT"):
                m.d.comb += inverse_root.load.eq(shifter.o.valid)
                with m.If(shifter.o.valid):
                    m.d.sync += of_slot(roots, slot).exponent.eq(
                        (moved.places >> 1) - _ROOT_EXPONENT
                    )
                    m.next = "ROOT"
            with m.State("ROOT"):
                root = inverse_root.result
                m.d.sync += [of_slot(roots, slot).mantissa.eq(root), a.eq(largest), b.eq(root)]
                with m.If(inverse_root.done):
                    m.d.sync += exponent.eq(exponent + of_slot(roots, slot).exponent)
                    m.next = "LARGEST PRODUCT"
            with m.State("LARGEST"):
                root = of_slot(roots, slot)
                m.d.sync += [
                    a.eq(largest),
                    b.eq(root.mantissa),
                    exponent.eq(exponent + root.exponent),
                ]
                m.next = "LARGEST PRODUCT"
            with m.State("LARGEST PRODUCT"):
                m.next = "CONSTANT"
            with m.State("CONSTANT"):
                m.d.sync += [a.eq(mantissa), b.eq(constant)]
                m.d.sync += exponent.eq(exponent + (SCALE_BITS - 1) + upper)
                m.next = "CONSTANT PRODUCT"
            with m.State("CONSTANT PRODUCT"):
                m.d.sync += exponent.eq(-(exponent + (SCALE_BITS - 1)))
                m.next = "RESULT"
            with m.State("RESULT"):
                m.d.comb += scales.i.valid.eq(1)
                with m.If(scales.i.ready):
                    m.next = "REQUEST"
        m.d.comb += scales.i.payload.mantissa.eq(mantissa)
        m.d.comb += scales.i.payload.shift.eq(
            _clamp(exponent - upper, 63) & product[-2:].any().replicate(6)
        )
        return m


_ROOT_EXPONENT = 31 + (DENOMINATOR_BITS - 32) // 2
"""The root's exponent is half the places by which the denominator moved up, less this."""


def _term_places(places: Value, eps_exponent: Value) -> Value:
    """Return by how many places the eps term's product moves down again.

    The second sum is ``mantissa * 2**(DENOMINATOR_BITS - SCALE_BITS - places)``.
    """
    exponent = DENOMINATOR_BITS - SCALE_BITS - places + eps_exponent
    return _clamp(_TERM_SHIFT - exponent, 63)


def _clamp(value: Value, limit: int) -> Value:
    """Return a signed value limited to 0 and `limit`, which is a power of two less one."""
    bits = limit.bit_length()
    return Mux(value < 0, 0, Mux(value[bits:].any(), limit, value[:bits]))
