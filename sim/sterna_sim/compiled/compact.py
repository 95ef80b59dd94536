"""The compiled compact chip: its pins, as a Python object and as a host's port."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
from pathlib import Path

import amaranth
from amaranth import *
from amaranth.back import verilog

import sterna.firmware
import sterna.spec
import sterna_rtl
from sterna.spec.chip import COMPACT
from sterna.spec.link import DEFAULT_BAUD
from sterna_rtl.compact.chip import CompactChip
from sterna_sim.compiled.build import VERILATOR
from sterna_sim.tools import BUILD, compile_once

__all__ = ["CompiledCompact", "Pins"]

_HERE = Path(__file__).parent
_FILES = [_HERE / name for name in ("pins.cpp", "uart.h")]

_WAKING_BITS = 4


def build(clock_hz: int) -> ctypes.CDLL:
    """Compile the chip for a clock, or take it from the cache; load it."""
    texts = [amaranth.__version__, str(clock_hz), *VERILATOR, *(f.read_text() for f in _FILES)]
    for package in (sterna_rtl, sterna.spec, sterna.firmware):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            texts.append(path.read_text())
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    folder = BUILD / "compact" / key
    library = ctypes.CDLL(
        str(compile_once(folder, "libchip.so", lambda work: _prepare(work, clock_hz)))
    )
    pointer, u64, chars = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p
    for name, result, arguments in (
        ("new", pointer, []),
        ("delete", None, [pointer]),
        ("reset", None, [pointer]),
        ("run", None, [pointer, u64]),
        ("wait", None, [pointer, u64]),
        ("clocks", u64, [pointer]),
        ("send", None, [pointer, chars, u64, ctypes.c_double]),
        ("unsent", u64, [pointer]),
        ("receive", u64, [pointer, chars, u64, ctypes.c_double]),
    ):
        function = getattr(library, f"pins_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def _prepare(work: Path, clock_hz: int) -> list[str]:
    chip = CompactChip(COMPACT, clock_hz, waking_bits=_WAKING_BITS)
    text = verilog.convert(
        chip, name="chip", ports=[chip.rx, chip.tx], emit_src=False, strip_internal_attrs=True
    )
    (work / "chip.v").write_text(text)
    for file in _FILES:
        shutil.copy(file, work)
    return [*VERILATOR, "-CFLAGS", f"-I{work}", "chip.v", "pins.cpp"]


class CompiledCompact:
    """A cycle-accurate compact chip with its pins.

    Parameters
    ----------
    clock_hz : int
        What it takes its clock for.
    """

    def __init__(self, clock_hz: int) -> None:
        self.clock_hz = clock_hz
        self._library = build(clock_hz)
        self._chip = self._library.pins_new()
        self.reset()

    def close(self) -> None:
        """Free the chip."""
        if self._chip:
            self._library.pins_delete(self._chip)
            self._chip = None

    def reset(self) -> None:
        """Do what power-up does, but for what the memories hold."""
        self._library.pins_reset(self._chip)

    @property
    def clocks(self) -> int:
        """Clocks since power-up."""
        return self._library.pins_clocks(self._chip)

    def run(self, clocks: int) -> None:
        """Let the clock run."""
        self._library.pins_run(self._chip, clocks)

    def wait(self, clocks: int) -> None:
        """Let it run until a byte has come, or for so many clocks."""
        self._library.pins_wait(self._chip, clocks)

    def send(self, data: bytes, clocks_per_bit: float) -> None:
        """Queue bytes for the chip's input."""
        self._library.pins_send(self._chip, data, len(data), clocks_per_bit)

    @property
    def unsent(self) -> int:
        """Bytes that have not gone over the line."""
        return self._library.pins_unsent(self._chip)

    def receive(self, clocks_per_bit: float) -> bytes:
        """Bytes from the chip's output since the last call."""
        buffer = ctypes.create_string_buffer(1 << 12)
        count = self._library.pins_receive(self._chip, buffer, len(buffer), clocks_per_bit)
        return buffer.raw[:count]


class Pins:
    """A chip's pins as a port of `sterna.device.serial_link`; time stands while the host works.

    Parameters
    ----------
    chip : CompiledCompact
    """

    name = "the chip's pins"

    def __init__(self, chip: CompiledCompact) -> None:
        self.chip, self._bit = chip, chip.clock_hz / DEFAULT_BAUD

    def set_baud(self, baud: int) -> None:
        """Change the speed of both directions."""
        self._bit = self.chip.clock_hz / baud
        self.chip.receive(self._bit)

    def write(self, data: bytes) -> None:
        """Give bytes to the line."""
        self.chip.send(data, self._bit)

    def read(self, seconds: float) -> bytes:
        """Bytes that have come; waits up to `seconds` of the chip's time for the first."""
        self.chip.wait(round(seconds * self.chip.clock_hz))
        self.chip.run(round(20 * self._bit))
        return self.chip.receive(self._bit)

    def line_break(self, seconds: float) -> None:
        """Hold the line low."""
        self.chip.send(b"\0", 8 * self.chip.clock_hz / DEFAULT_BAUD)
        while self.chip.unsent:
            self.chip.run(1000)
        self.chip.run(20_000)
        self.set_baud(DEFAULT_BAUD)

    def close(self) -> None:
        """Free the chip."""
        self.chip.close()
