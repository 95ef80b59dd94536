"""Everything that a model's card says in numbers, measured anew.

``python -m models.card models/tern-ecp5/tern-ecp5.sterna`` prints it as Markdown: figures on the
held-out text, continuations of five prompts that were fixed beforehand, ranges, and the block RAMs
of a chip of the reference's lanes. Other held-out texts may be given; they are used whole.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.evaluate import Quality, divergence, evaluate, log_softmax
from sterna.golden.sampler import Sampler
from sterna.model import container
from sterna.model.float64 import Float64Model
from sterna.model.half import HalfModel
from sterna.model.layout import fit
from sterna.model.limits import limits
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer
from sterna.plan.boards import BOARDS
from sterna.plan.memories import memories
from sterna.spec.chip import REFERENCE

__all__ = ["continuations", "main"]

TEXT = Path(__file__).parent / "text" / "books.txt"
PART = slice(50_000, 62_000)
"""Characters of the text with which models are compared."""

FIRST_TOKENS = 4096
PROMPTS = (
    "Once upon a time",
    "The old man looked at the sea and",
    '"Where are you going?" asked the',
    "One morning Tom and his sister",
    "The king had three sons.",
)
PERTURBATION, PERTURBATION_SEED = 2.0**-12, 0
"""Largest relative error of an embedding that the float64 reference is compared with itself at."""

TEMPERATURE, SEED, CONTINUATIONS, LONGEST = 0.7, 0, 3, 60

_EBRS = BOARDS["ulx3s-85f"].block_rams


def continuations(model: Model, prompt: str) -> Iterator[str]:
    """Texts that follow a prompt, drawn one after the other from one seed.

    The first is that of ``sterna generate --seed 0 -n 60``.
    """
    tokenizer = Tokenizer.of(model)
    assert tokenizer is not None
    ids = tokenizer.encode(prompt)
    sampling = Sampling(TEMPERATURE, SEED, tuple(model.meta["eos"]))
    device = GoldenDevice(model)
    sampler = Sampler(sampling.chip_temperature(model), sampling.chip_seed())
    empty = device.state
    for _ in range(CONTINUATIONS):
        device.state = empty
        logits, drawn = device.logits(ids)[-1], []
        while len(drawn) < LONGEST:
            drawn.append(sampler.draw(logits))
            if drawn[-1] in sampling.stop:
                break
            logits = device.logits(drawn[-1:])[-1]
        yield tokenizer.decode([*ids, *drawn]).strip()


def _measure(model: Model, text: str, limit: int | None = None, half: bool = False) -> tuple:
    """Figures of one document, and the ranges of the reference."""
    tokenizer = Tokenizer.of(model)
    assert tokenizer is not None
    reference = Float64Model.from_model(model)
    reference.ranges = {}
    documents, characters = [], 0
    for document in text.split("<|endoftext|>"):
        ids, ends = tokenizer.encode_with_ends(document.strip())
        documents.append(ids[:limit])
        characters += ends[len(documents[-1]) - 1]
    halves = HalfModel.from_model(model) if half else None
    device = GoldenDevice(model)
    return evaluate(device, documents, characters, model, reference, halves), reference.ranges


def _perturbed(model: Model, text: str) -> float:
    """Mean KL from the float64 reference to itself with errors in its embedding, nats a token."""
    tokenizer = Tokenizer.of(model)
    assert tokenizer is not None
    ids = tokenizer.encode(text)
    exact, perturbed = Float64Model.from_model(model), Float64Model.from_model(model)
    rng = np.random.default_rng(PERTURBATION_SEED)
    errors = rng.uniform(-PERTURBATION, PERTURBATION, exact.embedding.shape)
    perturbed.embedding = exact.embedding * (1 + errors)
    pairs = zip(exact.chunks(ids), perturbed.chunks(ids), strict=True)
    return sum(divergence(log_softmax(p), log_softmax(q)) for p, q in pairs) / len(ids)


def _figures(rows: dict[str, Quality]) -> Iterator[str]:
    names = list(rows)
    yield "| | " + " | ".join(names) + " |"
    yield "|---|" + "---|" * len(names)
    lines = {
        "tokens": ("tokens", "{:,}"),
        "bits per character, golden": ("bits_per_character", "{:.3f}"),
        "bits per character, float64": ("reference_bits_per_character", "{:.3f}"),
        "perplexity, golden over float64": ("perplexity_ratio", "{:.5f}"),
        "mean KL from float64 to golden, nats": ("kl", "{:.2e}"),
        "same most likely token": ("top1", "{:.1%}"),
        "mean KL from float64 to float16": ("half_kl", "{:.2e}"),
        "same most likely token, float64 and float16": ("half_top1", "{:.1%}"),
        "same most likely token, golden and float16": ("top1_to_half", "{:.1%}"),
        "saturations": ("saturations", "{}"),
    }
    for label, (field, form) in lines.items():
        values = [getattr(rows[name], field) for name in names]
        cells = ["" if value is None else form.format(value) for value in values]
        yield f"| {label} | " + " | ".join(cells) + " |"


def _ranges(model: Model, ranges: dict[str, float]) -> Iterator[str]:
    found = limits(model)
    values = [name.removeprefix("layers.0.") for name in found if name.startswith("layers.0.")]
    yield "| layer | " + " | ".join(values) + " |"
    yield "|---|" + "---|" * len(values)
    for layer in range(model.shape.layers):
        cells = [f"{ranges[f'layers.{layer}.{value}']:.3g}" for value in values]
        yield f"| {layer} | " + " | ".join(cells) + " |"
    name = max(found, key=lambda name: ranges[name] / found[name])
    share = ranges[name] / found[name]
    yield ""
    yield f"Logits reach {ranges['logits']:.3g}. Nearest to its limit: {name}, {share:.0%} of it."


def _rams(model: Model) -> Iterator[str]:
    config = fit(
        model,
        rows=REFERENCE.rows,
        columns=REFERENCE.columns,
        elements=REFERENCE.elements,
        packing=REFERENCE.packing,
    )
    rams: Counter[str] = Counter()
    for memory in memories(config):
        rams[memory.name] += memory.block_rams
    size = config.tape_words * config.word_bits // 8
    yield f"The tape has {config.tape_words:,} words of {config.word_bits} bits, {size:,} bytes."
    if rams.total() > _EBRS:
        return
    yield f"Elements of the embedding have {config.embedding_bits} bits."
    yield ""
    yield "| RAM | DP16KD |"
    yield "|---|---|"
    for name, count in rams.items():
        if count:
            yield f"| {name} | {count} |"
    yield f"| in all, of {_EBRS} | {rams.total()} |"


def main() -> None:
    """Measure a model and print what its card says."""
    parser = argparse.ArgumentParser(prog="python -m models.card", description=__doc__)
    parser.add_argument("model", type=Path, help="a .sterna file")
    parser.add_argument("text", type=Path, nargs="*", help="other held-out texts")
    args = parser.parse_args()
    model = container.load(args.model)
    text = TEXT.read_text()
    rows = {
        "characters 50 000 to 62 000": _measure(model, text[PART], half=True)[0],
        f"first {FIRST_TOKENS:,} tokens": _measure(model, text, FIRST_TOKENS)[0],
    }
    rows[f"all of {TEXT.name}"], ranges = _measure(model, text)
    for path in args.text:
        rows[f"all of {path}"], _ = _measure(model, path.read_text())
    zeros = [float(np.mean(model.trits[name] == 0)) for name in model.trits]
    shape = model.shape
    print(
        f"Vocabulary {shape.vocab:,}, hidden size {shape.hidden}, {shape.layers} layers, "
        f"intermediate size {shape.intermediate}; {shape.ternary_weights:,} ternary weights, "
        f"{min(zeros):.0%} to {max(zeros):.0%} of them zeros.\n"
    )
    print("\n".join(["## Figures", "", *_figures(rows), ""]))
    print(
        f"On characters {PART.start:,} to {PART.stop:,} the mean KL from float64 to itself with an "
        f"embedding that is wrong by up to 2^{np.log2(PERTURBATION):.0f} of each value (uniform, "
        f"seed {PERTURBATION_SEED}) is {_perturbed(model, text[PART]):.2e}.\n"
    )
    print(
        "\n".join(["## Largest magnitudes on that text, float64", "", *_ranges(model, ranges), ""])
    )
    print("\n".join(["## Memory of a chip of the reference's lanes", "", *_rams(model), ""]))
    print(f"## Continuations, seed {SEED}, temperature {TEMPERATURE}, the first {CONTINUATIONS}\n")
    for prompt in PROMPTS:
        for found in continuations(model, prompt):
            print("> " + " / ".join(line for line in found.splitlines() if line.strip()) + "\n")


if __name__ == "__main__":
    main()
