"""sterna doctor: tests of a device."""

from __future__ import annotations

import time
import zlib
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from sterna.device.chip import ChipDevice, memory_shape, read_config, write_memory
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.known_answer import known_model
from sterna.device.names import open_port
from sterna.device.operations import RegisterPort, read_next
from sterna.errors import DeviceError
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import Memory

__all__ = ["doctor_command"]

_ROUND_TRIPS = 50
_TOKENS = 20


def doctor_command(
    device: Annotated[str, typer.Option("--device", help="sim, sim:direct or uart:PORT[@BAUD]")],
    quick: Annotated[
        bool, typer.Option("--quick", help="leave out the memory test, which overwrites them")
    ] = False,
) -> None:
    """Test link, identification, memories and a known answer of a device."""
    port, label = open_port(device)
    try:
        print(f"device          {label}")
        _link(port)
        config = read_config(port)
        print(f"identification  configuration {config.digest}, {config.lanes} lanes")
        if not quick:
            _memories(port, config)
        _answer(port, label)
    finally:
        port.close()
    print("all well")


def _link(port: RegisterPort) -> None:
    start = time.perf_counter()
    first = port.execute([read_next("MAGIC", 4)])
    for _ in range(_ROUND_TRIPS):
        if not np.array_equal(port.execute([read_next("MAGIC", 4)]), first):
            raise DeviceError("the link gives other values when it is asked the same again")
    mean = (time.perf_counter() - start) / (_ROUND_TRIPS + 1)
    print(f"link            {_ROUND_TRIPS} requests answered, {1000 * mean:.1f} ms each")


def _memories(port: RegisterPort, config: ChipConfig) -> None:
    """Fill each memory with random words and let the device compute their checksum."""
    rng = np.random.default_rng(1)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        for memory in Memory:
            if memory is Memory.STREAM:
                continue
            words, bits = memory_shape(config, memory)
            data = rng.integers(0, 256, (words, -(-bits // 8)), dtype=np.uint8)
            if bits % 8:
                data[:, -1] &= (1 << bits % 8) - 1
            padded = np.zeros((words, -(-bits // 32) * 4), dtype=np.uint8)
            padded[:, : data.shape[1]] = data
            pieces = padded.view("<u4")
            if write_memory(port, memory, pieces, tell) != zlib.crc32(pieces.tobytes()):
                raise DeviceError(
                    f"memory {memory.name.lower()} does not hold what was written to it; the chip "
                    "is damaged, or its clock too fast"
                )
    print("memories        hold what is written to them")


def _answer(port: RegisterPort, label: str) -> None:
    model = known_model()
    sampling = Sampling(temperature=1.0, seed=1)
    chip, golden = ChipDevice(port, model, label), GoldenDevice(model)
    drawn = list(chip.generate([3, 1], _TOKENS, sampling))
    same = drawn == list(golden.generate([3, 1], _TOKENS, sampling))
    if not same or not np.array_equal(chip.state, golden.state):
        raise DeviceError(
            "the device computes something else than the golden model; its bitstream is damaged or "
            "its clock too fast"
        )
    print(f"known answer    {_TOKENS} tokens and the state are those of the golden model")
