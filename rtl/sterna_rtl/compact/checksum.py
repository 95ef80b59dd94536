"""Checksum: CRC-32 of bytes, a bit a clock."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.crc import CRC_INIT

__all__ = ["Checksum"]

_POLYNOMIAL = 0xEDB88320
_BYTE = 8


class Checksum(Component):
    """Compute `zlib.crc32`.

    Attributes
    ----------
    starts : Signal, in
        Begin anew; not while a byte is being added.
    i : stream.Interface
        Bytes.
    crc : Signal, out
        Of all bytes that were taken, while `i.ready`.

    Latency
        8 clocks.

    Throughput
        A byte every 9 clocks.
    """

    def __init__(self) -> None:
        super().__init__({"starts": In(1), "i": In(stream.Signature(8)), "crc": Out(32)})

    def elaborate(self, platform) -> Module:
        m = Module()
        state, left = Signal(32, init=CRC_INIT), Signal(range(_BYTE + 1))
        rest = Signal(_BYTE, reset_less=True)
        m.d.comb += [self.crc.eq(~state), self.i.ready.eq(left == 0)]
        with m.If(left != 0):
            odd = (state[0] ^ rest[0]).replicate(len(state))
            m.d.sync += [
                state.eq(state[1:] ^ (odd & _POLYNOMIAL)),
                rest.eq(rest[1:]),
                left.eq(left - 1),
            ]
        with m.Elif(self.starts):
            m.d.sync += state.eq(CRC_INIT)
        with m.Elif(self.i.valid):
            m.d.sync += [rest.eq(self.i.payload), left.eq(_BYTE)]
        return m
