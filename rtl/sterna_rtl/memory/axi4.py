"""Channels of an AXI4 port, as its master sees them.

All bursts have the same ID, so that answers come in order, the full width of the data and
incrementing addresses. Signals that AXI4 lets a master leave out (lock, cache, protection, quality
of service, region, user) are not there.
"""

from __future__ import annotations

from amaranth.lib.wiring import In, Out, Signature

from sterna.spec.axi4 import Axi4

__all__ = ["Axi4Channels", "ReadChannels", "WriteChannels"]


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


class WriteChannels(Signature):
    """Write addresses (AW), write data (W) and responses (B).

    Parameters
    ----------
    memory : Axi4
    """

    def __init__(self, memory: Axi4) -> None:
        super().__init__(
            {
                "awid": Out(1),
                "awaddr": Out(memory.address_bits),
                "awlen": Out(8),
                "awsize": Out(3),
                "awburst": Out(2),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(memory.data_bits),
                "wstrb": Out(memory.beat_bytes),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )


class Axi4Channels(Signature):
    """All channels of a port.

    Parameters
    ----------
    memory : Axi4
    """

    def __init__(self, memory: Axi4) -> None:
        super().__init__({**ReadChannels(memory).members, **WriteChannels(memory).members})
