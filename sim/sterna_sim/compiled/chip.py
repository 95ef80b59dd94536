"""The compiled chip as a Python object: registers, RAMs, tokens, states and probes."""

from __future__ import annotations

import ctypes

import numpy as np

from sterna.errors import DeviceError
from sterna.model.layout import Image
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import REGISTERS, VALID, Control, Memory, Status
from sterna.spec.sdram import PARTS
from sterna_sim.compiled.axi4 import ChipAxi4
from sterna_sim.compiled.build import build
from sterna_sim.compiled.memory import ChipMemory
from sterna_sim.compiled.probes import PROBES, clock_hz

__all__ = ["CompiledChip"]

_PATIENCE = 1 << 24
"""Clocks after which a chip that gives no answer is said to hang."""


class CompiledChip:
    """A cycle-accurate chip with its register port driven directly.

    Parameters
    ----------
    config : ChipConfig
        Built if it is not in the cache; the first build takes half a minute.
    gates : bool
        Its cells of an ECP5 instead of its description: the first build takes minutes.

    Attributes
    ----------
    memory : ChipMemory, ChipAxi4 or None
        At the pins of a chip that has one. What it objects to, the next call raises.
    """

    def __init__(self, config: ChipConfig, gates: bool = False) -> None:
        self.config = config
        self._built = build(config, gates)
        self._library = self._built.load()
        self._chip = self._library.chip_new()
        self.memory = self._beside()
        self._attach()

    def _beside(self) -> ChipMemory | ChipAxi4 | None:
        name = self.config.memory
        if name in AXI4:
            return ChipAxi4(AXI4[name])
        return ChipMemory(PARTS[name], clock_hz(self.config)) if name else None

    def _attach(self) -> None:
        """Put the memory to the chip's pins; without one nothing stands there."""
        if self.memory:
            self.memory.attach(self._library, self._chip)

    def _check(self) -> None:
        """Raise what the memory has objected to."""
        if self.memory:
            self.memory.check()

    def close(self) -> None:
        """Free the chip."""
        if self._chip:
            self._library.chip_delete(self._chip)
            self._chip = None

    def __enter__(self) -> CompiledChip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def clocks(self) -> int:
        """Clocks since power-up."""
        return self._library.chip_clocks(self._chip)

    def run(self, clocks: int) -> None:
        """Let the clock run."""
        self._library.chip_run(self._chip, clocks)
        self._check()

    def read(self, register: str) -> int:
        """Read a register by name."""
        data = ctypes.c_uint32()
        address = REGISTERS[register].address
        failed = self._library.chip_request(self._chip, 0, address, ctypes.byref(data), _PATIENCE)
        self._check()
        if failed:
            raise DeviceError(f"the chip does not answer a read of {register}")
        return data.value

    def write(self, register: str, value: int) -> None:
        """Write a register by name."""
        data = ctypes.c_uint32(value)
        address = REGISTERS[register].address
        failed = self._library.chip_request(self._chip, 1, address, ctypes.byref(data), _PATIENCE)
        self._check()
        if failed:
            raise DeviceError(f"the chip does not take a write to {register}")

    def command(self, control: Control) -> None:
        """Give a command."""
        self.write("CONTROL", 1 << control)

    def write_words(self, memory: Memory, words: np.ndarray, first: int = 0) -> None:
        """Write RAM words given as uint32 [words, pieces], lowest piece first."""
        self.write("MEMORY", memory)
        self.write("ADDRESS", first)
        self.write_all("DATA", words.reshape(-1))

    def write_all(self, register: str, words: np.ndarray) -> None:
        """Write words to a register, waiting for room."""
        written = 0
        patience = self.clocks + _PATIENCE
        while written < len(words):
            written += self.offer(register, words[written:])
            if self.clocks > patience:
                raise DeviceError(f"the chip does not take a write to {register}")

    def offer(self, register: str, words: np.ndarray) -> int:
        """Write words to a register until one is refused; return how many were taken."""
        pieces = np.ascontiguousarray(words, dtype=np.uint32)
        pointer = pieces.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        address = REGISTERS[register].address
        taken = self._library.chip_write(self._chip, address, pointer, pieces.size)
        self._check()
        return taken

    def flash(self, image: Image) -> None:
        """Fill the memories, as a board does from its flash; what does not fit is left out.

        What lies beside the chip is put there at once: through the port it would take minutes.
        """
        self.write("TAPE_LENGTH", 0)
        self.command(Control.RESET)
        for memory, words in image.memories().items():
            if self.memory and memory is Memory.EXTERNAL:
                self.memory.fill(0, words)
            elif memory is not Memory.TAPE or len(words) <= self.config.tape_words:
                self.write_words(memory, words)
        self.read("ADDRESS")  # comes once the last piece is in its RAM: a reset may follow at once

    def load(self, image: Image, period: int = 1) -> None:
        """Load a model's image.

        The tape of a chip with a ring alone comes from beside it, a word every `period` clocks.
        """
        self.flash(image)
        self.write("TAPE_BLOCKS", image.tape_blocks)
        if self.config.ring_words and not self.config.memory:
            pieces = np.ascontiguousarray(image.tape, dtype=np.uint32)
            pointer = pieces.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
            self._library.chip_tape(self._chip, pointer, pieces.size, period)
        self.write("TAPE_LENGTH", len(image.tape))
        self.command(Control.RESET)
        self.command(Control.CLEAR_COUNTERS)

    def step(self, token: int, draw: bool = False) -> None:
        """Queue a token; with `draw`, COUNT tokens are drawn after it."""
        self.write("TOKEN", token | (VALID if draw else 0))

    def idle(self) -> None:
        """Wait until no token is in flight."""
        start = self.clocks
        while self.read("STATUS") >> Status.BUSY & 1:
            self.run(16)
            if self.clocks - start > _PATIENCE:
                raise DeviceError(f"the chip hangs: always busy; {self.fault() or 'no fault'}")

    def fault(self) -> str:
        """Describe the first fault, empty if there was none."""
        status = self.read("STATUS")
        if status >> Status.MEMORY_FAULT & 1:
            return "the memory could not read or write a word"
        if status >> Status.HEADER_FAULT & 1:
            return f"segment {status >> 16}: not a segment header"
        if status >> Status.CHECKSUM_FAULT & 1:
            return f"segment {status >> 16}: its words do not match their checksum"
        return ""

    @property
    def busy(self) -> bool:
        """Whether a token or a check is in flight."""
        return bool(self._library.chip_busy(self._chip))

    def reset(self) -> None:
        """Do what a reset button does: registers are cleared, memories stay."""
        self._library.chip_reset(self._chip)
        self._attach()

    def use_pins(self) -> None:
        """From now on requests come from the UART."""
        self._library.chip_direct(self._chip, 0)

    def send(self, data: bytes, clocks_per_bit: float) -> None:
        """Queue bytes for the chip's input."""
        self._library.chip_send(self._chip, data, len(data), clocks_per_bit)

    @property
    def unsent(self) -> int:
        """Bytes that have not gone over the line."""
        return self._library.chip_unsent(self._chip)

    def receive(self, clocks_per_bit: float) -> bytes:
        """Bytes from the chip's output since the last call."""
        buffer = ctypes.create_string_buffer(1 << 16)
        count = self._library.chip_receive(self._chip, buffer, len(buffer), clocks_per_bit)
        return buffer.raw[:count]

    def record(self, on: bool) -> None:
        """Log probe events from now on."""
        self._library.chip_record(self._chip, int(on))

    def events(self) -> dict[str, np.ndarray]:
        """Return and forget the events logged: uint32 [events, pieces] for each probe."""
        result = {}
        for index, probe in enumerate(PROBES):
            words = ctypes.POINTER(ctypes.c_uint32)()
            size = self._library.chip_events(self._chip, index, ctypes.byref(words))
            pieces = -(-self._built.widths[probe.name] // 32)
            flat = np.ctypeslib.as_array(words, (size,)).copy() if size else np.empty(0, np.uint32)
            result[probe.name] = flat.reshape(-1, pieces)
        self._library.chip_forget(self._chip)
        return result
