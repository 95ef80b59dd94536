"""A simulated board: the compiled chip with its UART on a pseudo-terminal.

    python -m sterna_sim.board [--config FILE] [--flash MODEL]

prints the name of a port that `sterna --device uart:PORT` can open. The board honours the speed to
which the port is set. With `--flash` its memories hold a model when it starts, as a board's do that
loads them from flash.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import select
import struct
import sys
import tty
from collections.abc import Callable
from pathlib import Path

from sterna.errors import SternaError
from sterna.model import container
from sterna.model.layout import Image, lay_out
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.compiled.probes import clock_hz

__all__ = ["Board", "Wire", "main"]

_QUANTUM = 1000
"""Clocks between two looks at the port."""

_AWAKE = 40_000
"""Clocks that a board goes on after the last byte; then it sleeps until there is another."""

_TCGETS2 = 0x802C542A

Wire = Callable[[bytes], bytes]
"""What bytes become on their way."""


class Board:
    """A chip, a pseudo-terminal, and the wires between them.

    Parameters
    ----------
    config : ChipConfig
    image : Image, optional
        What the memories hold at the start.
    to_chip, to_host : Wire, optional
        Faults.

    Attributes
    ----------
    port : str
        Name of the terminal that a host opens.
    """

    def __init__(
        self,
        config: ChipConfig,
        image: Image | None = None,
        to_chip: Wire = bytes,
        to_host: Wire = bytes,
    ) -> None:
        self.chip = CompiledChip(config)
        if image is not None:
            self.chip.flash(image)
        # Power has just come on: a host finds no session and the first speed.
        self.chip.reset()
        self.chip.use_pins()
        self._to_chip, self._to_host = to_chip, to_host
        # The terminal's other end stays open here, so that hosts may come and go.
        self._own, self._other = os.openpty()
        tty.setraw(self._other)
        os.set_blocking(self._own, False)
        self.port = os.ttyname(self._other)
        self._unwritten = b""
        self._left = 0

    def close(self) -> None:
        """Unplug the board."""
        for descriptor in (self._own, self._other):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.chip.close()

    def run(self, going: Callable[[], bool] = lambda: True) -> None:
        """Run as long as `going` says."""
        while going():
            self.step()

    def step(self) -> None:
        """Take what the host has written, run some clocks, give it what the chip has sent."""
        awake = self._left > 0 or self._unwritten
        readable, _, _ = select.select([self._own], [], [], 0 if awake else 0.02)
        clocks_per_bit = clock_hz(self.chip.config) / self._baud()
        if readable and self.chip.unsent < 4096:
            self.chip.send(self._to_chip(os.read(self._own, 4096)), clocks_per_bit)
        if readable or self.chip.unsent or self.chip.busy:
            self._left = _AWAKE + round(20 * clocks_per_bit)
        if self._left > 0:
            self.chip.run(_QUANTUM)
            self._left -= _QUANTUM
        received = self.chip.receive(clocks_per_bit)
        if received:
            self._left = max(self._left, _AWAKE)
        self._unwritten += self._to_host(received)
        if self._unwritten:
            with contextlib.suppress(BlockingIOError):
                self._unwritten = self._unwritten[os.write(self._own, self._unwritten) :]

    def _baud(self) -> int:
        """Speed to which the host has set its port."""
        settings = fcntl.ioctl(self._own, _TCGETS2, bytes(44))
        return struct.unpack_from("=I", settings, 40)[0] or 1


def _config(path: Path | None) -> ChipConfig:
    return ChipConfig.from_dict(json.loads(path.read_text())) if path else REFERENCE


def main() -> None:
    """Run a board until the program is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="JSON of a chip configuration")
    parser.add_argument("--flash", type=Path, help="model that the memories hold at the start")
    options = parser.parse_args()
    try:
        config = _config(options.config)
        image = None
        if options.flash:
            image = lay_out(container.load(options.flash), config, streamed=True)
        board = Board(config, image)
    except SternaError as error:
        print(f"board: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    print(board.port, flush=True)
    # A parent that has gone takes its board with it.
    parent = os.getppid()
    with contextlib.suppress(KeyboardInterrupt):
        board.run(lambda: os.getppid() == parent)
    board.close()


if __name__ == "__main__":
    main()
