"""sterna generate: text as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.live import LiveText
from sterna.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    RecordOption,
    check_output,
    load_model,
    opened,
    print_json,
    prompt_tokens,
)
from sterna.device.chip import ChipDevice
from sterna.device.device import Device, Sampling
from sterna.device.state import load_state, save_state
from sterna.errors import InputError
from sterna.figures import Speed, measure_speed
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer

__all__ = ["generate_command"]


def generate_command(
    model: ModelOption,
    prompt: Annotated[str | None, typer.Argument(help="text to go on from")] = None,
    tokens: Annotated[str | None, typer.Option(help="prompt as token ids")] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="tokens to draw")] = 200,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token")] = 0.7,
    top_k: Annotated[
        int, typer.Option(min=0, help="draw among so many of the most likely tokens, 0: all")
    ] = 0,
    seed: Annotated[int, typer.Option(help="the same seed gives the same text")] = 0,
    device: DeviceOption = "golden",
    load: Annotated[
        Path | None, typer.Option("--load-state", help="go on where --save-state ended")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save-state", help="file for the state at the end")
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="then go on from each line that is typed")
    ] = False,
    record: RecordOption = None,
    json: JsonOption = False,
) -> None:
    """Go on from a prompt; there is no limit to the length of a text."""
    loaded = load_model(model)
    sampling = Sampling(temperature, seed, tuple(loaded.meta.get("eos", ())), top_k)
    sampling.chip_temperature(loaded)  # refused before anything is printed
    if save:
        check_output(save)
    state, ids = None, []
    if load:
        state, last = load_state(load, loaded)
        ids = [last]
    if prompt is not None or tokens is not None:
        ids += prompt_tokens(loaded, prompt, tokens, begins=not ids)
    if not ids and not interactive:
        raise InputError("give a prompt or --tokens, or --load-state or --interactive")
    if interactive and (Tokenizer.of(loaded) is None or json):
        raise InputError("--interactive needs a model with a tokenizer, and no --json")
    with opened(device, loaded, record) as chip:
        if state is not None:
            chip.state = state
        writer = _Writer(chip, loaded, sampling, count, quiet=json)
        if ids:
            writer.go_on(ids, shown=prompt)
        for line in _typed() if interactive else ():
            before = writer.unstepped
            writer.go_on([*before, *prompt_tokens(loaded, line, None, begins=not before)])
        if save:
            if not writer.unstepped:
                raise InputError("nothing was generated, so that there is no state to save")
            save_state(save, chip.state, writer.unstepped[0], loaded)
        facts = writer.facts()  # always, so that a recording is the same with --json and without
        if json:
            print_json(facts)


def _typed() -> Iterator[str]:
    """Lines from stdin, asked for with a sign where somebody sits at a terminal."""
    sign = "> " if sys.stdin.isatty() and sys.stdout.isatty() else ""
    while True:
        try:
            yield input(sign)
        except EOFError:
            return


class _Writer:
    """Generates, prints and measures."""

    def __init__(
        self,
        chip: Device,
        model: Model,
        sampling: Sampling,
        count: int,
        quiet: bool,
    ) -> None:
        self.chip, self.model, self.sampling = chip, model, sampling
        self.count, self.quiet = count, quiet
        self.tokenizer = Tokenizer.of(model)
        self.unstepped: list[int] = []  # the token drawn last
        self.drawn: list[int] = []
        self.before, self.seconds = chip.counters(), 0.0

    def go_on(self, ids: Sequence[int], shown: str | None = None) -> None:
        """Generate after some tokens, printing the text as it comes."""
        stream = self.tokenizer.stream(ids) if self.tokenizer else None
        start = time.perf_counter()
        spent = self.seconds
        with LiveText(self.quiet) as out:
            text = self.tokenizer.decode(ids) if self.tokenizer and shown is not None else ""
            out.write(text, lambda: f"stepping {len(ids)} tokens of the prompt")
            for token in self.chip.generate(ids, self.count, self.sampling):
                self.drawn.append(token)
                self.unstepped = [token]
                self.seconds = spent + time.perf_counter() - start
                out.write(stream.push(token) if stream else f"{token} ", self._running)
            self.seconds = spent + time.perf_counter() - start
            out.finish(stream.finish() if stream else "", self._running)

    def _running(self) -> str:
        # What asks a recording must not depend on the clock on the wall.
        if isinstance(self.chip, ChipDevice):
            return str(self.speed())
        return f"{len(self.drawn) / self.seconds:.1f} tokens/s"

    def speed(self) -> Speed:
        """Figures since the start."""
        after = self.chip.counters()
        return measure_speed(self.chip, self.model, self.before, after, self.seconds)

    def facts(self) -> dict[str, object]:
        """What --json prints."""
        text = self.tokenizer.decode(self.drawn) if self.tokenizer else None
        return {"text": text, "tokens_drawn": self.drawn, **asdict(self.speed())}
