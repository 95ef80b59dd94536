"""The firmware of a compact chip, put together for its configuration and clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sterna.firmware import drawing, link, numbers, registers, scales, segments
from sterna.firmware.assembler import Assembly, assemble
from sterna.golden.quantizer import RECIPROCAL_SHIFT
from sterna.spec.chip import ChipConfig
from sterna.spec.compact import CELLS, COLUMNS, Cell, Place, Program, Shift
from sterna.spec.compact_chip import (
    RECORD_MAGIC,
    RECORD_WORDS,
    Area,
    Read,
    Record,
    Write,
)
from sterna.spec.link import DEFAULT_BAUD, REPLY_WORDS, REQUEST_BYTES, Kind, Outcome
from sterna.spec.registers import (
    CONFIG_REGISTERS,
    INTERFACE_VERSION,
    LAST,
    MAGIC,
    REGISTERS,
    STOPS,
    VALID,
    Control,
    Memory,
    Status,
)

__all__ = ["NAMES", "divisor_of", "firmware", "source"]

CRC_RIGHT = 0x2144DF1C
"""CRC-32 of a message and its own."""

_START = """
; After power-up and after a line break. Memories stay, and programs that run come to their end.
start:      load  =DIVISOR
            out   Write.DIVISOR
            store registers + 2 * UART_DIVISOR
            load  #2 * CHECKSUM - 2 * STATUS
clear:      sub   #1
            index
            store t
            load  #0
            store registers + 2 * STATUS,x
            load  t
            ifnz  clear
            store session
            store to_draw
            store reply_fill
            store w0
            load  #1023
            store logit
            call  heat
"""

_COUNTERS_END = REGISTERS["COUNTER_SATURATIONS"].address + 1
"""Behind the counters of the compact chip; registers from here on read as 0."""

NAMES: dict[str, Any] = {
    **{name: register.address for name, register in REGISTERS.items()},
    "COUNTERS_END": _COUNTERS_END,
    "draw": 2 * REGISTERS["SEED_LOW"].address,
    "RECIPROCAL_SHIFT": RECIPROCAL_SHIFT,
    "CRC_RIGHT": CRC_RIGHT,
    "CELLS": CELLS,
    "COLUMNS": COLUMNS,
    "RECORD_MAGIC": RECORD_MAGIC,
    "RECORD_WORDS": RECORD_WORDS,
    "REQUEST_BYTES": REQUEST_BYTES,
    "REPLY_WORDS": REPLY_WORDS,
    "VALID": VALID,
    "LAST": LAST,
    "STOPS": STOPS,
    **{
        kind.__name__: kind
        for kind in (
            Area, Cell, Control, Kind, Memory, Outcome, Place, Program, Read, Record, Shift,
            Status, Write,
        )
    },
}  # fmt: skip


def divisor_of(clock_hz: int) -> int:
    """Clocks per bit of the UART after a reset."""
    return round(clock_hz / DEFAULT_BAUD)


@cache
def firmware(config: ChipConfig, clock_hz: int) -> Assembly:
    """Assemble the firmware of a chip."""
    return assemble(source(config, clock_hz), NAMES | {"DIVISOR": divisor_of(clock_hz)})


def source(config: ChipConfig, clock_hz: int) -> str:
    """Return the text of a chip's firmware."""
    table = " ".join(map(str, _table(config, clock_hz)))
    parts = (link, registers, drawing, segments, scales, numbers)
    return "".join([f".word registers {table}\n", _START, *(part.TEXT for part in parts)])


def _table(config: ChipConfig, clock_hz: int) -> list[int]:
    """Registers as they are at the start, two words each."""
    digest = int(config.digest, 16)
    values: Mapping[str, int] = {
        "MAGIC": MAGIC,
        "VERSION": INTERFACE_VERSION,
        "DIGEST_LOW": digest & 0xFFFFFFFF,
        "DIGEST_HIGH": digest >> 32,
        "CLOCK_HZ": clock_hz,
        **{name: int(getattr(config, field)) for name, field in CONFIG_REGISTERS.items()},
    }
    words = [values.get(name, 0) for name in REGISTERS][:_COUNTERS_END]
    return [half for word in words for half in (word & 0xFFFF, word >> 16)]
