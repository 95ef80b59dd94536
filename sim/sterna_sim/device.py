"""The compiled chip as a device of the host package, through its pins or past them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection

import numpy as np

from sterna.device.chip import ChipDevice
from sterna.device.operations import Operation, RegisterPort
from sterna.device.uart import open_uart
from sterna.errors import InputError
from sterna.model.layout import Image, fit, lay_out
from sterna.model.model import Model
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.link import Code
from sterna.spec.registers import REGISTERS, Control
from sterna_sim.board import Board
from sterna_sim.compiled.build import build
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.compiled.probes import CLOCK_HZ

__all__ = ["DirectDevice", "DirectPort", "PinPort", "chip_for", "open_sim"]

_PAUSE = 256
"""Clocks between two calls, as if a host took some time."""

_NAMES = {register.address: name for name, register in REGISTERS.items()}


class DirectPort:
    """A compiled chip's register port; see `sterna.device.operations.RegisterPort`.

    Parameters
    ----------
    chip : CompiledChip
    """

    def __init__(self, chip: CompiledChip) -> None:
        self.chip = chip

    def execute(self, operations: Sequence[Operation]) -> np.ndarray:
        """Do the operations in order."""
        words: list[int] = []
        for operation in operations:
            if operation.code == Code.WRITE:
                self.chip.write_all(operation.register, operation.words)
            else:
                address = REGISTERS[operation.register].address
                step = operation.code == Code.READ_NEXT
                names = (_NAMES[address + n * step] for n in range(operation.count))
                words += [self.chip.read(name) for name in names]
        self.chip.run(_PAUSE)
        return np.array(words, dtype="<u4")

    def lend_tape(self, tape: np.ndarray) -> bool:
        """There is no way to this computer's memory."""
        return False

    def offer(self, operation: Operation) -> int:
        """Write what there is room for."""
        taken = self.chip.offer(operation.register, operation.words)
        self.chip.run(_PAUSE)
        return taken

    def watch(self) -> None:
        """Reset the token side and write down each clock from now on."""
        self.chip.command(Control.RESET)
        self.chip.events()
        self.chip.record(True)

    def seen(self) -> np.ndarray:
        """Activity of each clock since then."""
        self.chip.record(False)
        return self.chip.events()["activity"][:, 0]

    def close(self) -> None:
        """Free the chip."""
        self.chip.close()


def _board(config: ChipConfig, image: Image | None, port: Connection) -> None:
    """Run a board until the other end of the pipe is closed."""
    # Ctrl-C is for the program that holds the board.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    board = Board(config, image)
    port.send(board.port)
    board.run(lambda: not port.poll())


class PinPort:
    """The compiled chip through its pins: a board in a process of its own, behind a port.

    The board starts with an image in its memories, as from flash. What talks to it is the same code
    that talks to a real one, and gets nothing but the name of the port.

    Parameters
    ----------
    config : ChipConfig
    image : Image, optional
    """

    def __init__(self, config: ChipConfig = REFERENCE, image: Image | None = None) -> None:
        build(config)  # here, where Ctrl-C ends it
        self._pipe, other = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_board, args=(config, image, other), daemon=True)
        self._process.start()
        other.close()
        try:
            self._link, _ = open_uart(f"{self._pipe.recv()}@{CLOCK_HZ // 4}")
        except BaseException:
            self._unplug()
            raise
        self.execute = self._link.execute
        self.offer = self._link.offer
        self.lend_tape = self._link.lend_tape

    def close(self) -> None:
        """Free the port and end the board."""
        self._link.close()
        self._unplug()

    def _unplug(self) -> None:
        self._pipe.close()
        self._process.join()


class DirectDevice(ChipDevice):
    """The compiled chip without its pins, for long runs.

    Parameters
    ----------
    model : Model
    config : ChipConfig
    """

    def __init__(self, model: Model, config: ChipConfig = REFERENCE) -> None:
        self.chip = CompiledChip(config)
        self.chip.flash(lay_out(model, config, streamed=True))
        super().__init__(DirectPort(self.chip), model, "simulated chip (rtl), past its pins")


def chip_for(model: Model) -> ChipConfig:
    """Return the reference chip, or if a model does not fit it, one of its lanes made for it."""
    try:
        lay_out(model, REFERENCE, streamed=True)
    except InputError:
        return fit(
            model,
            rows=REFERENCE.rows,
            columns=REFERENCE.columns,
            elements=REFERENCE.elements,
            packing=REFERENCE.packing,
        )
    return REFERENCE


def open_sim(argument: str, model: Model | None = None) -> tuple[RegisterPort, str]:
    """Open ``sim``, through the pins, or ``sim:direct``; both hold the model from the start."""
    if argument not in ("", "direct"):
        raise InputError(f"device must be sim or sim:direct, not sim:{argument}")
    config = chip_for(model) if model else REFERENCE
    image = lay_out(model, config, streamed=True) if model else None
    if not argument:
        return PinPort(config, image), "simulated chip (rtl), through its pins"
    chip = CompiledChip(config)
    if image:
        chip.flash(image)
    return DirectPort(chip), "simulated chip (rtl), past its pins"
