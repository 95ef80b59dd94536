"""sterna bench: how fast a device is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from sterna.cli.options import DeviceOption, JsonOption, ModelOption, load_model, opened, print_json
from sterna.cli.progress import showing
from sterna.device.chip import ChipDevice
from sterna.device.device import Device, Sampling
from sterna.errors import InputError
from sterna.figures import measure_speed
from sterna.session import Session, run

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
    json: JsonOption = False,
) -> None:
    """Draw tokens at temperature 1 from token 0 on, and print what it took."""
    loaded = load_model(model)
    with opened(device, loaded) as chip:
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
            for number, _ in enumerate(_draw(chip, count, streams)):
                tell("tokens", number, count * streams)
            seconds = time.perf_counter() - start
        speed = measure_speed(chip, loaded, before, chip.counters(), seconds)
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
