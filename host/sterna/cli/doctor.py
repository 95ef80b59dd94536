"""sterna doctor: tests of a device."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sterna.cli.flash import read_manifest
from sterna.cli.options import JsonOption, print_json
from sterna.cli.progress import showing
from sterna.device.chip import (
    ChipDevice,
    Progress,
    checksum_memory,
    memory_shape,
    read_config,
    write_memory,
)
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.known_answer import known_model
from sterna.device.latency import latency_timer
from sterna.device.names import open_port
from sterna.device.operations import RegisterPort, read_next
from sterna.device.uart import parse_port
from sterna.errors import DeviceError
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import Memory

__all__ = ["doctor_command"]

_ROUND_TRIPS = 50
_TOKENS = 20

_ROWS = 512
"""Blocks at the beginning of the memory beside a chip: two rows of each of four banks."""

_ANYWHERE = 64
"""Other blocks of it that are tested."""


def doctor_command(
    device: Annotated[
        str, typer.Option("--device", help="sim, sim:direct, uart:PORT[@BAUD] or pcie:ADDRESS")
    ],
    board: Annotated[
        str | None, typer.Option(help="its chip must be the one of bitstreams/BOARD")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="leave out the memory test, which overwrites them")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Test link, identification, memories and a known answer of a device."""
    facts: dict[str, object] = {}
    manifest = read_manifest(Path("bitstreams") / board) if board else None
    for name, words, found in _tests(device, quick, manifest):
        facts |= found
        if not json:
            print(f"{name:15} {words}", flush=True)
    if json:
        print_json(facts)
    else:
        print("all well")


def _tests(
    device: str, quick: bool, manifest: dict[str, Any] | None
) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Test one thing after the other; give its name, and what was found in words and for JSON."""
    with showing(f"opening {device}"):
        port, label = open_port(device)
    try:
        yield "device", label, {"device": label}
        mean = _link(port)
        words = f"{_ROUND_TRIPS} requests answered, {mean:.1f} ms each"
        yield "link", words, {"milliseconds_per_request": mean}
        yield from _latency(device)
        config = read_config(port)
        if manifest and config.digest != manifest["digest"]:
            raise DeviceError(
                f"the device has configuration {config.digest} and the bitstream of "
                f"{manifest['board']} has {manifest['digest']}; load it with "
                f"`sterna flash --board {manifest['board']}`"
            )
        words = f"configuration {config.digest}, {config.lanes} lanes"
        yield "identification", words, {"configuration": config.digest, "lanes": config.lanes}
        if not quick:
            with showing("memories") as tell:
                _memories(port, config, tell)
            yield "memories", "hold what is written to them", {"memories_hold": True}
        with showing("known answer") as tell:
            _answer(port, label, tell)
        words = f"{_TOKENS} tokens and the state are those of the golden model"
        yield "known answer", words, {"known_answer": True}
    finally:
        port.close()


def _latency(device: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Say how answers come sooner, where the driver of a serial port keeps them back."""
    kind, _, argument = device.partition(":")
    timer = latency_timer(parse_port(argument)[0]) if kind == "uart" else None
    if timer and timer[1] > 1:
        path, milliseconds = timer
        words = f"{milliseconds} ms for short answers: echo 1 | sudo tee {path}"
        yield "latency timer", words, {"latency_timer_milliseconds": milliseconds}


def _link(port: RegisterPort) -> float:
    """Milliseconds from a request to its answer."""
    start = time.perf_counter()
    first = port.execute([read_next("MAGIC", 4)])
    for _ in range(_ROUND_TRIPS):
        if not np.array_equal(port.execute([read_next("MAGIC", 4)]), first):
            raise DeviceError("the link gives other values when it is asked the same again")
    return 1000 * (time.perf_counter() - start) / (_ROUND_TRIPS + 1)


def _memories(port: RegisterPort, config: ChipConfig, tell: Progress) -> None:
    """Fill each memory with random words and let the device compute their checksum."""
    rng = np.random.default_rng(1)
    for memory in Memory:
        if memory in (Memory.STREAM, Memory.EXTERNAL):
            continue
        words, bits = memory_shape(config, memory)
        if not words:
            continue
        data = rng.integers(0, 256, (words, -(-bits // 8)), dtype=np.uint8)
        if bits % 8:
            data[:, -1] &= (1 << bits % 8) - 1
        padded = np.zeros((words, -(-bits // 32) * 4), dtype=np.uint8)
        padded[:, : data.shape[1]] = data
        pieces = padded.view("<u4")
        _compare(memory, write_memory(port, memory, pieces, tell), pieces)
    if config.memory:
        _beside(port, *memory_shape(config, Memory.EXTERNAL), rng, tell)


def _beside(
    port: RegisterPort, blocks: int, bits: int, rng: np.random.Generator, tell: Progress
) -> None:
    """Test the memory beside a chip at some places: all of it would take minutes over a UART.

    They are rows of all banks (of an SDRAM), a block behind each address line, and others anywhere.
    All are looked at again once all are written: a line that is broken makes one place of two.
    """
    single = {1 << bit for bit in range(blocks.bit_length() - 1)} | {blocks - 1}
    single |= set(rng.integers(_ROWS, blocks, _ANYWHERE).tolist())
    sizes = {0: _ROWS} | {first: 1 for first in sorted(single) if first >= _ROWS}
    written = {
        first: rng.integers(0, 1 << 32, (count, bits // 32), dtype=np.uint32)
        for first, count in sizes.items()
    }
    memory = Memory.EXTERNAL
    for first, pieces in written.items():
        _compare(memory, write_memory(port, memory, pieces, tell, first), pieces)
    for first, pieces in written.items():
        _compare(memory, checksum_memory(port, memory, pieces.size, tell, first), pieces)


def _compare(memory: Memory, checksum: int, pieces: np.ndarray) -> None:
    """Refuse a memory of which the device says another checksum."""
    if checksum != zlib.crc32(pieces.tobytes()):
        raise DeviceError(
            f"memory {memory.name.lower()} does not hold what was written to it; the chip "
            "is damaged, or its clock too fast"
        )


def _answer(port: RegisterPort, label: str, tell: Progress) -> None:
    model = known_model()
    sampling = Sampling(temperature=1.0, seed=1)
    chip, golden = ChipDevice(port, model, label, tell), GoldenDevice(model)
    drawn = list(chip.generate([3, 1], _TOKENS, sampling))
    same = drawn == list(golden.generate([3, 1], _TOKENS, sampling))
    if not same or not np.array_equal(chip.state, golden.state):
        raise DeviceError(
            "the device computes something else than the golden model; its bitstream is damaged or "
            "its clock too fast"
        )
