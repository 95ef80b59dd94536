"""RAM ports as interfaces: a unit names its bank, the SRAM scheduler owns the RAM."""

from __future__ import annotations

from amaranth.hdl import ShapeLike
from amaranth.lib.wiring import In, Out, Signature

__all__ = ["ReadPort", "WritePort"]


class ReadPort(Signature):
    """Synchronous read, as the reader sees it: `data` follows `address`, usually a clock later.

    Parameters
    ----------
    depth : int
        Words; sizes the address.
    shape : shape-like
        One word.
    """

    def __init__(self, depth: int, shape: ShapeLike) -> None:
        super().__init__({"address": Out(range(max(depth, 2))), "data": In(shape)})


class WritePort(Signature):
    """Synchronous write, as the writer sees it."""

    def __init__(self, depth: int, shape: ShapeLike) -> None:
        super().__init__(
            {"enable": Out(1), "address": Out(range(max(depth, 2))), "data": Out(shape)}
        )
