"""Build the compiled chip: Amaranth, Verilog, Verilator, a shared library; cached by content."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import amaranth
from amaranth.back import verilog

import sterna.spec
import sterna_rtl
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import ChipConfig
from sterna.spec.sdram import Command
from sterna_sim.compiled.gates import gate_level, sources
from sterna_sim.compiled.probes import LEVELS, PROBES, ProbedChip
from sterna_sim.tools import BUILD, VERILATOR_MAKEFLAGS, compile_once

__all__ = ["VERILATOR", "Library", "MemoryCall", "build"]

_DRIVER = Path(__file__).with_name("driver.cpp")
_HEADERS = [Path(__file__).with_name(name) for name in ("axi.h", "uart.h")]

VERILATOR = (
    "--cc", "--exe", "--build", "-O3", "-j", "2", "--x-assign", "fast", "--x-initial", "fast",
    "--no-timing", "-fno-dfg", "--output-split-cfuncs", "1000",
    "-CFLAGS", "-march=native -fPIC -std=c++17", "-LDFLAGS", "-shared", *VERILATOR_MAKEFLAGS,
    "-MAKEFLAGS", "OPT_FAST=-O2", "-MAKEFLAGS", "OPT_SLOW=-O0", "-Wno-fatal", "-Wno-lint",
    "--prefix", "Vchip", "--top-module", "chip", "-o", "libchip.so",
)  # fmt: skip
"""g++ takes more than its share of time for functions of ten thousands of lines: they are cut. What
runs once, when a chip starts, is as long as what runs on every clock: it is not optimised."""


MemoryCall = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32)
"""A memory at the chip's pins: idle clocks since the last call, levels and the word on the bus (-1:
none) when the clock rises."""

COMING = 10
"""Words that a memory has said at most: a CAS latency and a burst."""

_REPEATED = re.compile(r"(?<=[{,] )([^,{}]+?)(?:, \1){2,}(?=,| })")
"""A bit that stands in a concatenation three times or more, one after the other."""


@dataclass(frozen=True)
class Library:
    """A compiled chip.

    Attributes
    ----------
    path : Path
        The shared library.
    widths : dict of str to int
        Bits of each probe's value.
    """

    path: Path
    widths: dict[str, int]

    def load(self) -> ctypes.CDLL:
        """Load the library and declare its functions."""
        library = ctypes.CDLL(str(self.path))
        pointer, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
        words, coming = ctypes.POINTER(u32), ctypes.POINTER(ctypes.c_int32)
        signatures = {
            "chip_new": (pointer, []),
            "chip_reset": (None, [pointer]),
            "chip_direct": (None, [pointer, ctypes.c_int]),
            "chip_busy": (ctypes.c_int, [pointer]),
            "chip_send": (None, [pointer, ctypes.c_char_p, u64, ctypes.c_double]),
            "chip_unsent": (u64, [pointer]),
            "chip_receive": (u64, [pointer, ctypes.c_char_p, u64, ctypes.c_double]),
            "chip_delete": (None, [pointer]),
            "chip_clocks": (u64, [pointer]),
            "chip_run": (None, [pointer, u64]),
            "chip_request": (ctypes.c_int, [pointer, ctypes.c_int, u32, words, u64]),
            "chip_write": (u64, [pointer, u32, words, u64]),
            "chip_record": (None, [pointer, ctypes.c_int]),
            "chip_events": (u64, [pointer, ctypes.c_int, ctypes.POINTER(words)]),
            "chip_forget": (None, [pointer]),
        }
        if hasattr(library, "chip_memory"):
            signatures["chip_memory"] = (None, [pointer, MemoryCall, coming])
        if hasattr(library, "chip_axi"):
            signatures["chip_axi"] = (None, [pointer, u64, u64, u64, u32, u32, u32])
            signatures["chip_axi_fill"] = (None, [pointer, u64, words, u64])
            signatures["chip_axi_held"] = (None, [pointer, u64, words, u64])
            signatures["chip_axi_fail"] = (None, [pointer, ctypes.c_int, ctypes.c_int64])
            signatures["chip_axi_beats"] = (u64, [pointer])
            signatures["chip_axi_objection"] = (ctypes.c_char_p, [pointer])
        if hasattr(library, "chip_tape"):
            signatures["chip_tape"] = (None, [pointer, words, u64, u64])
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        return library


def build(config: ChipConfig, gates: bool = False) -> Library:
    """Compile a chip, or return it from the cache; with `gates` its cells of an ECP5.

    The cache is keyed by the text of all gateware and formats, the configuration, the driver and
    the flags: a chip that was built is the chip that is described. (The Verilog would be the key
    that says most, but takes longer to make than a start should.)

    Raises
    ------
    SternaError
        If Verilator fails.
    """
    driver = _DRIVER.read_text()
    texts = [config.digest, _sources(), driver, *VERILATOR]
    texts += [header.read_text() for header in _HEADERS]
    if gates:
        texts += sources()
    key = hashlib.sha256("\0".join(texts).encode())
    folder = BUILD / "chip" / key.hexdigest()[:16]
    library = compile_once(folder, "libchip.so", lambda work: _prepare(work, config, driver, gates))
    return Library(library, json.loads((folder / "widths.json").read_text()))


@functools.cache
def _sources() -> str:
    """All text on which the Verilog of a chip depends."""
    folders = [Path(package.__path__[0]) for package in (sterna_rtl, sterna.spec)]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    texts = [path.read_text() for path in [*files, Path(__file__).with_name("probes.py")]]
    return "\0".join([amaranth.__version__, *texts])


def _replication(match: re.Match[str]) -> str:
    """Write `{3{x}}` for `x, x, x`, which Verilator would put together bit by bit."""
    return f"{{{(len(match[0]) + 2) // (len(match[1]) + 2)}{{{match[1]}}}}}"


def _outside(config: ChipConfig) -> str:
    """What the driver puts beside the chip."""
    if config.memory in AXI4:
        memory = AXI4[config.memory]
        ports = " ".join(f"PORT({number})" for number in range(memory.ports))
        return (
            f"#define AXI_PORTS {ports}\n#define AXI_COUNT {memory.ports}\n"
            f"#define AXI_BITS {memory.data_bits}\n#define AXI_SPACING {memory.spacing}ull\n"
            f"#define AXI_BYTES {memory.port_bytes}ull\n"
        )
    if config.memory:
        # Levels of an idle clock: no command, no mask, CKE.
        idle = {"command": Command.NOP, "mask": 0, "cke": 1}
        places = dict(zip(LEVELS, accumulate(LEVELS.values(), initial=0), strict=False))
        mask = sum((1 << LEVELS[name]) - 1 << places[name] for name in idle)
        value = sum(level << places[name] for name, level in idle.items())
        return f"#define COMING {COMING}\n#define IDLE_MASK {mask}\n#define IDLE {value}\n"
    return f"#define TAPE_BITS {config.word_bits}\n" if config.ring_words else ""


def _prepare(work: Path, config: ChipConfig, driver: str, gates: bool) -> list[str]:
    chip = ProbedChip(config)
    widths = {name: len(value) for name, (_, value) in chip.taps.items()}
    if gates:
        text = gate_level(chip, BUILD / "gates" / config.digest)
    else:
        text = verilog.convert(chip, name="chip", emit_src=False, strip_internal_attrs=True)
        text = _REPEATED.sub(_replication, text)
    (work / "chip.v").write_text(text)
    (work / "driver.cpp").write_text(driver)
    for header in _HEADERS:
        shutil.copy(header, work)
    (work / "widths.json").write_text(json.dumps(widths))
    rows = [f"PROBE({n}, {probe.name}, {widths[probe.name]})" for n, probe in enumerate(PROBES)]
    (work / "probes.inc").write_text(
        f"#define PROBE_COUNT {len(rows)}\n#define PROBES {' '.join(rows)}\n" + _outside(config)
    )
    return [*VERILATOR, "-CFLAGS", f"-I{work}", "chip.v", "driver.cpp"]
