"""sterna bench: how fast a device is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    check_output,
    load_model,
    opened,
    print_json,
)
from sterna.cli.progress import showing
from sterna.device.chip import ChipDevice
from sterna.device.device import Device, Sampling
from sterna.errors import InputError
from sterna.figures import measure_speed
from sterna.files import whole_file
from sterna.session import Session, run
from sterna.trace import Watched, timeline

__all__ = ["bench_command"]


def bench_command(
    model: ModelOption,
    device: DeviceOption = "golden",
    count: Annotated[int, typer.Option("-n", min=1, help="tokens to draw in each sequence")] = 50,
    streams: Annotated[
        int, typer.Option(min=1, help="sequences, which take turns in the device's slots")
    ] = 1,
    load: Annotated[
        bool, typer.Option("--load", help="write all memories first, and time that too")
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="file for a timeline of all units, for Perfetto; take a small -n"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draw tokens at temperature 1 from token 0 on, and print what it took."""
    loaded = load_model(model)
    if trace:
        check_output(trace)
    with opened(device, loaded) as chip:
        watched = _watched(chip, device) if trace else None
        facts = {}
        if load:
            if not isinstance(chip, ChipDevice):
                raise InputError(f"--load needs a chip; {device} has no memories to load")
            with showing("loading") as chip.progress:
                start = time.perf_counter()
                size = chip.load()
                seconds = time.perf_counter() - start
            facts = {"loaded_bytes": size, "load_seconds": seconds}
        with showing("tokens") as tell:
            before, start = chip.counters(), time.perf_counter()
            if watched:
                watched[1].watch()
            for number, _ in enumerate(_draw(chip, count, streams)):
                tell("tokens", number, count * streams)
            seconds = time.perf_counter() - start
        speed = measure_speed(chip, loaded, before, chip.counters(), seconds)
        if trace and watched:
            traced, port = watched
            events = timeline(port.seen(), traced.image, loaded, traced.config)
            with whole_file(trace) as file:
                file.write(dumps(events).encode())
    facts = {**asdict(speed), **facts}
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        if value is not None:
            print(f"{name:25} {value:.6g}" if isinstance(value, float) else f"{name:25} {value}")


def _draw(device: Device, count: int, streams: int) -> Iterator[object]:
    if streams == 1:
        return device.generate([0], count, Sampling(1.0))
    return run(device, [Session([0], count, Sampling(1.0, seed)) for seed in range(streams)])


def _watched(chip: Device, name: str) -> tuple[ChipDevice, Watched]:
    """A chip and its port, behind which every clock can be watched."""
    if isinstance(chip, ChipDevice) and isinstance(chip.port, Watched):
        return chip, chip.port
    raise InputError(f"--trace watches every clock, which only sim:direct allows, not {name}")
