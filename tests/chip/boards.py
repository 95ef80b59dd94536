"""Simulated boards in a thread, for tests that look at both ends of the line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sterna.model.layout import Image
from sterna.spec.chip import ChipConfig
from sterna_sim.board import Board, Wire
from sterna_sim.compiled.probes import CLOCK_HZ

__all__ = ["FASTEST", "running"]

FASTEST = CLOCK_HZ // 4
"""Baud at 4 clocks per bit."""


@contextmanager
def running(
    config: ChipConfig,
    image: Image | None = None,
    to_chip: Wire = bytes,
    to_host: Wire = bytes,
    each: Callable[[Board], None] = lambda board: None,
) -> Iterator[Board]:
    """Run a board while the body runs; `each` is called between its steps."""
    board = Board(config, image, to_chip, to_host)
    going = True

    def goes() -> bool:
        each(board)
        return going

    thread = threading.Thread(target=board.run, args=(goes,))
    thread.start()
    try:
        yield board
    finally:
        going = False
        thread.join()
        board.close()
        time.sleep(0)
