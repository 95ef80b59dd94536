"""The compact chip's firmware on its emulator, behind what a host takes for a serial port."""

from __future__ import annotations

from cobs import cobs

from sterna.golden.compact_chip import Chip

__all__ = ["EmulatedPort"]


class EmulatedPort:
    """Bytes of frames, decoded as the gateware does it; what is sent is there at once.

    Attributes
    ----------
    chip : Chip
    bauds : list of int
        Speeds that were asked for.
    """

    name = "emulated chip"

    def __init__(self, chip: Chip) -> None:
        self.chip, self.bauds, self._part = chip, [], b""
        chip.run()

    def write(self, data: bytes) -> None:
        """Take bytes from the host."""
        *blocks, self._part = (self._part + data).split(b"\0")
        for block in filter(None, blocks):
            try:
                self.chip.received += [*cobs.decode(block), True]
            except cobs.DecodeError:
                self.chip.received += [*block, False]
        self.chip.run()

    def read(self, seconds: float) -> bytes:
        """Return what was sent."""
        sent = bytes(self.chip.sent)
        self.chip.sent.clear()
        return sent

    def line_break(self, seconds: float) -> None:
        """Begin the firmware anew."""
        self.chip.received.clear()
        self.chip.restart()
        self.chip.run()

    def set_baud(self, baud: int) -> None:
        """Take note of a speed."""
        self.bauds.append(baud)

    def close(self) -> None:
        """Do nothing."""
