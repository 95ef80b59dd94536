"""The demo: a trained model talks on the compiled chip, and every number is checked.

`make demo` runs it. The chip is a simulated board behind a port, and the host package talks to it
as to a real one: it checks the memories, which hold the model from the start, and then text appears
as the chip draws it. After that the golden model draws the same number of tokens from the same
seed, and tokens, state and event counters of both are compared; the clocks are compared with the
cycle expectation.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import zip_longest
from pathlib import Path

import numpy as np
from rich.console import Console

from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.errors import SternaError
from sterna.model import container
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer
from sterna.plan.clocks import expected_clocks
from sterna_sim.device import open_sim

__all__ = ["main"]

_MODEL = Path(__file__).resolve().parents[2] / "models" / "tern-ecp5" / "tern-ecp5.sterna"

_STARTED = time.perf_counter()


def demo_model() -> Model:
    """Return the demo's model: the one for which the reference configuration was made."""
    return container.load(_MODEL)


def compare(chip: ChipDevice, golden: GoldenDevice) -> list[str]:
    """Say where states and event counters of the two differ."""
    differences = []
    if not np.array_equal(chip.state, golden.state):
        layer, element = np.argwhere(chip.state != golden.state)[0]
        differences.append(
            f"state of layer {layer}, element {element}: {chip.state[layer, element]} on the chip, "
            f"{golden.state[layer, element]} in the golden model"
        )
    counters = chip.counters()
    for name, value in golden.counters().items():
        if counters[name] != value:
            differences.append(f"{name}: {counters[name]} on the chip, {value} in the golden model")
    return differences


def main() -> None:
    """Run the demo; exit status 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", default="Once upon a time there was a little girl")
    parser.add_argument("-n", type=int, default=200, help="tokens to draw")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        sys.exit(_run(options))
    except SternaError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


def _run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    model = demo_model()
    with console.status("compiling the chip (one to two minutes the first time)") as status:
        port, label = open_sim("", model)
        chip = ChipDevice(port, model, label, lambda what, done, total: status.update(what))
    try:
        return _talk(console, options, chip, model)
    finally:
        chip.close()


def _talk(console: Console, options: argparse.Namespace, chip: ChipDevice, model: Model) -> int:
    config = chip.config
    console.print(
        f"{chip.label}: R = {config.rows}, C = {config.columns}, E = {config.elements}, "
        f"{config.packing.name}, configuration {config.digest}"
    )
    console.print(
        f"model: {model.meta['source']}, {model.shape.ternary_weights:,} ternary weights, "
        f"{len(chip.image.tape):,} tape words\n"
    )
    tokenizer = Tokenizer.of(model)
    assert tokenizer is not None
    prompt = tokenizer.encode(options.prompt)
    sampling = Sampling(options.temperature, options.seed, tuple(model.meta["eos"]))
    stream = tokenizer.stream(prompt)
    console.print(options.prompt, style="bold", end="")
    drawn, start, first = [], time.perf_counter(), 0.0
    for token in chip.generate(prompt, options.n, sampling):
        if not drawn:
            first = time.perf_counter() - _STARTED
        drawn.append(token)
        print(stream.push(token), end="", flush=True)
    print(stream.finish(), "\n")
    seconds = time.perf_counter() - start

    counters = chip.counters()
    tokens, clocks = counters["tokens"], counters["clocks"]
    per_token = clocks / tokens
    use = model.shape.ternary_weights * tokens / (config.lanes * clocks)
    console.print(
        f"{tokens} tokens, {tokens / seconds:.1f} tokens/s of wall time, the first after "
        f"{first:.1f} s"
    )
    console.print(f"{per_token:.1f} clocks per token, {use:.1%} of the lanes busy (rtl)")
    expected = expected_clocks(model.steps, config)
    console.print(f"cycle expectation: {expected:.0f} clocks per token")

    golden = GoldenDevice(model)
    with console.status("the golden model draws the same tokens"):
        wanted = list(golden.generate(prompt, options.n, sampling))
    differences = compare(chip, golden)
    if wanted != drawn:
        pairs = enumerate(zip_longest(drawn, wanted))
        place, (own, other) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        differences.insert(0, f"token {place}: {own} on the chip, {other} in the golden model")
    if differences:
        console.print("different from the golden model:", *differences, sep="\n  ", style="red")
        return 1
    if abs(per_token / expected - 1) > 0.02:
        console.print("clocks are off the cycle expectation by more than 2 %", style="red")
        return 1
    console.print("tokens, state, segments and saturations: identical to the golden model")
    return 0


if __name__ == "__main__":
    main()
