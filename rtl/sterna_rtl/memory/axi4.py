"""Channels of an AXI4 port, as its master sees them.

All bursts have the same ID, so that answers come in order, the full width of the data and
incrementing addresses. Signals that AXI4 lets a master leave out (lock, cache, protection, quality
of service, region, user) are not there.
"""

from __future__ import annotations

from amaranth.lib.wiring import In, Out, Signature

from sterna.spec.axi4 import Axi4

__all__ = ["ReadChannels"]


class ReadChannels(Signature):
    """Read addresses (AR) and read data (R).

    Parameters
    ----------
    memory : Axi4
    """

    def __init__(self, memory: Axi4) -> None:
        super().__init__(
            {
                "arid": Out(1),
                "araddr": Out(memory.address_bits),
                "arlen": Out(8),
                "arsize": Out(3),
                "arburst": Out(2),
                "arvalid": Out(1),
                "arready": In(1),
                "rid": In(1),
                "rdata": In(memory.data_bits),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )
