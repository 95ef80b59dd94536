"""FrameReceiver: decoded bytes to checked frames in the request RAM."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import REQUEST_BYTES, WINDOW
from sterna_rtl.lib.crc import CRC_INIT, CRC_RESIDUE, crc32
from sterna_rtl.lib.memory import WritePort

__all__ = ["DECODED", "FRAME", "REQUEST_RAM_BYTES", "FrameReceiver"]

DECODED = StructLayout({"data": 8, "end": 1, "good": 1})
"""A decoded byte, or with `end` the end of a frame and whether its structure was right."""

FRAME = StructLayout({"kind": 4, "session": 4, "sequence": 8, "length": 9, "stored": 1})
"""A good frame: type, number, bytes of payload, and whether these are in the RAM."""

REQUEST_RAM_BYTES = WINDOW * REQUEST_BYTES

_HEAD, _CRC = 2, 4


class FrameReceiver(Component):
    """Store payloads as they come, and say of each frame whether its CRC was right.

    Attributes
    ----------
    i : stream.Interface
        `DECODED`, always taken.
    slot, store : Signal, in
        Part of the RAM for the next payload, and whether it is free; may change only with `frame`,
        but that `store` may rise.
    write : WritePort
        The request RAM.
    frame, bad : Signal, out
        One clock after its end: a good frame, with `o`; a damaged one.
    o : View of FRAME, out
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(DECODED)),
                "slot": In(range(WINDOW)),
                "store": In(1),
                "write": Out(WritePort(REQUEST_RAM_BYTES, unsigned(8))),
                "frame": Out(1),
                "bad": Out(1),
                "o": Out(FRAME),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        item = self.i.payload
        m.d.comb += self.i.ready.eq(1)
        longest = _HEAD + REQUEST_BYTES + _CRC
        count = Signal(range(longest + 2))  # bytes so far; stops beyond the longest frame
        crc = Signal(32, init=CRC_INIT)
        good = item.good & (crc == CRC_RESIDUE) & (count >= _HEAD + _CRC) & (count <= longest)
        place = Signal(9)  # in the payload; its highest bit is set before and behind it
        m.d.comb += [
            place.eq(count - _HEAD),
            self.write.address.eq(Cat(place[:8], self.slot)),
            self.write.data.eq(item.data),
            self.write.enable.eq(self.i.valid & ~item.end & self.o.stored & ~place[8]),
        ]
        m.d.sync += [self.frame.eq(0), self.bad.eq(0)]
        with m.If(self.i.valid & item.end):
            m.d.sync += [
                self.frame.eq(good),
                self.bad.eq(~good),
                self.o.length.eq(count - (_HEAD + _CRC)),
                count.eq(0),
                crc.eq(CRC_INIT),
            ]
        with m.Elif(self.i.valid):
            m.d.sync += [crc.eq(crc32(crc, item.data)), count.eq(count + (count <= longest))]
            with m.If(count == 0):
                m.d.sync += [
                    Cat(self.o.kind, self.o.session).eq(item.data),
                    self.o.stored.eq(self.store),
                ]
            with m.If(count == 1):
                m.d.sync += self.o.sequence.eq(item.data)
        return m
