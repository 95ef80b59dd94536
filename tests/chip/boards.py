"""Simulated boards in a thread, for tests that look at both ends of the line."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sterna.model.layout import Image
from sterna.spec.chip import ChipConfig
from sterna_sim.board import Board, Wire
from sterna_sim.compiled.probes import CLOCK_HZ

__all__ = ["FASTEST", "plugged", "running"]

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


@contextmanager
def plugged(
    config: ChipConfig, model: Path, folder: Path
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a board that holds a model in a process of its own; give its port and the process."""
    path = folder / "board.json"
    path.write_text(json.dumps(config.to_dict()))
    command = [sys.executable, "-m", "sterna_sim.board", "--config", path, "--flash", model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port, "the board did not start"
        yield port, process
    finally:
        process.kill()
        process.communicate()
        path.unlink()
