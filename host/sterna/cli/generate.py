"""sterna generate: text as it comes."""

from __future__ import annotations

from typing import Annotated

import typer

from sterna.cli.options import DeviceOption, ModelOption, load_model, prompt_tokens
from sterna.device.device import Sampling, open_device
from sterna.model.tokenizer import Tokenizer

__all__ = ["generate_command"]


def generate_command(
    model: ModelOption,
    prompt: Annotated[str | None, typer.Argument(help="text to go on from")] = None,
    tokens: Annotated[str | None, typer.Option(help="prompt as token ids")] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="tokens to draw")] = 200,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token")] = 0.7,
    seed: Annotated[int, typer.Option(help="the same seed gives the same text")] = 0,
    device: DeviceOption = "golden",
) -> None:
    """Go on from a prompt; there is no limit to the length of a text."""
    loaded = load_model(model)
    ids = prompt_tokens(loaded, prompt, tokens)
    sampling = Sampling(temperature, seed, tuple(loaded.meta.get("eos", ())))
    sampling.chip_temperature(loaded)  # refused before anything is printed
    tokenizer = Tokenizer.of(loaded)
    opened = open_device(device, loaded)
    try:
        stream = tokenizer.stream(ids) if tokenizer else None
        if tokenizer and prompt is not None:
            print(tokenizer.decode(ids), end="", flush=True)
        for token in opened.generate(ids, count, sampling):
            print(stream.push(token) if stream else f"{token} ", end="", flush=True)
        print(stream.finish() if stream else "")
    finally:
        opened.close()
