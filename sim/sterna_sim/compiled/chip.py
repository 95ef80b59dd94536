"""The compiled chip as a Python object: registers, RAMs, tokens, states and probes."""

from __future__ import annotations

import ctypes

import numpy as np

from sterna.errors import DeviceError
from sterna.model.layout import Image
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import STATE_BITS
from sterna.spec.registers import LAST, REGISTERS, VALID, Control, Counter, Memory, Status
from sterna_sim.compiled.build import build
from sterna_sim.compiled.probes import PROBES

__all__ = ["CompiledChip", "ram_pieces"]

_PATIENCE = 1 << 24
"""Clocks after which a chip that gives no answer is said to hang."""


class CompiledChip:
    """A cycle-accurate chip with its register port driven directly.

    Parameters
    ----------
    config : ChipConfig
        Built if it is not in the cache; the first build takes half a minute.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self._built = build(config)
        self._library = self._built.load()
        self._chip = self._library.chip_new()

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

    def read(self, register: str) -> int:
        """Read a register by name."""
        data = ctypes.c_uint32()
        address = REGISTERS[register].address
        if self._library.chip_request(self._chip, 0, address, ctypes.byref(data), _PATIENCE):
            raise DeviceError(f"the chip does not answer a read of {register}")
        return data.value

    def write(self, register: str, value: int) -> None:
        """Write a register by name."""
        data = ctypes.c_uint32(value)
        address = REGISTERS[register].address
        if self._library.chip_request(self._chip, 1, address, ctypes.byref(data), _PATIENCE):
            raise DeviceError(f"the chip does not take a write to {register}")

    def command(self, control: Control) -> None:
        """Give a command."""
        self.write("CONTROL", 1 << control)

    def write_words(self, memory: Memory, words: np.ndarray, first: int = 0) -> None:
        """Write RAM words given as uint32 [words, pieces], lowest piece first."""
        self.write("MEMORY", memory)
        self.write("ADDRESS", first)
        pieces = np.ascontiguousarray(words, dtype=np.uint32)
        pointer = pieces.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        address = REGISTERS["DATA"].address
        if self._library.chip_write(self._chip, address, pointer, pieces.size):
            raise DeviceError(f"the chip does not take data for {memory.name}")

    def load(self, image: Image) -> None:
        """Load a model's image and clear the state."""
        self.write("TAPE_LENGTH", 0)
        self.command(Control.RESET)
        self.write_words(Memory.TAPE, image.tape)
        self.write_words(Memory.VECTOR_A, ram_pieces(image.vector_a))
        self.write_words(Memory.VECTOR_B, ram_pieces(image.vector_b))
        self.write_words(Memory.EMBEDDING, ram_pieces(image.embedding))
        self.write("TAPE_LENGTH", len(image.tape))
        self.command(Control.RESET)
        self.command(Control.CLEAR_COUNTERS)

    def write_state(self, state: np.ndarray) -> None:
        """Write the recurrent state, int64 [layers, width]."""
        layers, width = state.shape
        elements = self.config.elements
        padded = np.zeros((layers, -(-width // elements) * elements), dtype=np.int16)
        padded[:, :width] = state
        self.write_words(Memory.STATE, ram_pieces(padded.reshape(-1, elements)))

    def read_state(self, layers: int, width: int) -> np.ndarray:
        """Read the recurrent state, int64 [layers, width]."""
        elements = self.config.elements
        words = layers * -(-width // elements)
        count = -(-elements * STATE_BITS // 32)
        self.write("MEMORY", Memory.STATE)
        self.write("ADDRESS", 0)
        pieces = np.array([self.read("DATA") for _ in range(words * count)], dtype=np.uint32)
        values = pieces.reshape(words, count).view(np.int16)[:, :elements]
        return values.reshape(layers, -1)[:, :width].astype(np.int64)

    def seed(self, seed: int) -> None:
        """Start the draw generator."""
        self.write("SEED_LOW", seed & 0xFFFFFFFF)
        self.write("SEED_HIGH", seed >> 32)
        self.command(Control.LOAD_SEED)

    def step(self, token: int, draw: bool = False) -> None:
        """Queue a token; with `draw`, COUNT tokens are drawn after it."""
        self.write("TOKEN", token | (VALID if draw else 0))

    def generated(self) -> tuple[int, bool]:
        """Wait for the next token drawn; return it and whether it is the last."""
        value = self._wait("GENERATED")
        return value & (LAST - 1), bool(value & LAST)

    def logits(self, vocab: int) -> np.ndarray:
        """Read the logits of one pass, int64 [vocab]; LOGITS must be on."""
        values = np.array([self._wait("LOGIT") for _ in range(vocab)], dtype=np.uint32)
        return values.astype(np.uint16).view(np.int16).astype(np.int64)

    def _wait(self, register: str) -> int:
        data = ctypes.c_uint32()
        address = REGISTERS[register].address
        if self._library.chip_wait(self._chip, address, ctypes.byref(data), _PATIENCE):
            raise DeviceError(
                f"the chip hangs: nothing in {register}; {self.fault() or 'no fault'}"
            )
        return data.value

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
        if status >> Status.HEADER_FAULT & 1:
            return f"segment {status >> 16}: not a segment header"
        if status >> Status.CHECKSUM_FAULT & 1:
            return f"segment {status >> 16}: its words do not match their checksum"
        return ""

    def counters(self) -> dict[str, int]:
        """All counters, lower-case names."""
        return {c.name.lower(): self.read(f"COUNTER_{c.name}") for c in Counter}

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


def ram_pieces(words: np.ndarray) -> np.ndarray:
    """RAM words of small integers [words, E] as uint32 [words, pieces]."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    padded = np.zeros((len(raw), -(-raw.shape[1] // 4) * 4), dtype=np.uint8)
    padded[:, : raw.shape[1]] = raw
    return padded.view("<u4")
