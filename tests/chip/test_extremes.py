"""Models at the ends of their arithmetic, of any shape, every vector as the golden model has it.

Weights of one sign, weights of zeros, constants that saturate everything or nothing: what was drawn
is counted in bins, and each bin must have been hit.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from sterna.golden.step import Golden
from sterna.model.layout import lay_out, ram_pieces
from sterna.spec.fixed import PRE_BITS, RESIDUAL_BITS, SCRATCH_BITS, STATE_BITS
from sterna.spec.program import Op
from sterna.spec.registers import Memory
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.kit.bench import default_seed
from sterna_sim.lockstep import Lockstep
from tests.chip.models import config_for
from tests.tiny import tiny_model

LARGEST = {
    name: (1 << bits - 1) - 1
    for name, bits in {
        "y": PRE_BITS, "x": RESIDUAL_BITS, "scratch": SCRATCH_BITS, "h": STATE_BITS,
    }.items()
}  # fmt: skip
BINS = {
    *(f"{name} at its {end}" for name in LARGEST for end in ("largest", "smallest")),
    *(f"{op.name} of nothing but zeros" for op in Op if op is not Op.EMBED),
    "each activation at an end",
    "the largest row sum that there is",
    "the smallest row sum that there is",
    "each logit the same",
    "a matrix in parts",
    "a matrix of one row",
    "a matrix of one column",
    "columns that end in the middle of a block",
    "columns that end with a block",
    "rows that end in the middle of a group",
    "rows that end with a group",
}

NEVER = {
    "cut": {"rows that end in the middle of a group"},  # it has one row of lanes
    "odd-columns": {"a matrix in parts"},
}
"""Bins that a chip can't hit."""

WEIGHTS = {
    "random": lambda rng, trits: trits,
    "zeros": lambda rng, trits: np.zeros_like(trits),
    "ones": lambda rng, trits: np.ones_like(trits),
    "minus ones": lambda rng, trits: -np.ones_like(trits),
    "a sign a row": lambda rng, trits: np.broadcast_to(
        rng.choice(np.array([-1, 1], np.int8), (len(trits), 1)), trits.shape
    ).copy(),
    "a single one": lambda rng, trits: np.eye(*trits.shape, k=1, dtype=np.int8),
}
VECTORS = {
    "as given": lambda rng, vector: vector,
    "largest": lambda rng, vector: np.full_like(vector, 32767),
    "ends": lambda rng, vector: rng.choice([-32767, 32767], len(vector)),
    "zeros": lambda rng, vector: np.zeros_like(vector),
    "a single one": lambda rng, vector: np.where(np.arange(len(vector)) == 0, 1, 0),
}
EMBEDDINGS = {
    "as given": lambda rng, table: table,
    "zeros": lambda rng, table: np.zeros_like(table),
    "largest": lambda rng, table: np.full_like(table, 7),
    "ends": lambda rng, table: rng.choice(np.array([-8, 7], np.int8), table.shape),
}


def one_of(kinds):
    return st.sampled_from(list(kinds))


@st.composite
def models(draw):
    """Shapes, and what becomes of the weights, vectors and constants of a random model."""
    shape = {
        "vocab": draw(st.integers(3, 97)),
        "hidden": draw(st.integers(2, 50)),
        "layers": draw(st.integers(1, 2)),
        "intermediate": draw(st.integers(1, 90)),
        "expand_ratio": draw(st.sampled_from([1.0, 2.0])),
        "use_lower_bound": False,
        "coarse": True,
    }
    kinds = [draw(one_of(kinds)) for kinds in (WEIGHTS, VECTORS, EMBEDDINGS)]
    louder = draw(st.sampled_from([0, 0, -6, 6, 12]))
    shifts = draw(st.sampled_from([None, 0, 1, 4, 15]))
    return shape, *kinds, louder, shifts, draw(st.integers(0, 1 << 16))


def made(shape, weights, vectors, embedding, louder, shifts, seed):
    """Return the model."""
    model, rng = tiny_model(**shape), np.random.default_rng(seed)
    steps = tuple(
        replace(
            step,
            scale=(step.scale[0], step.scale[1] + louder * (step.op is not Op.EMBED)),
            **({} if shifts is None else {"sigmoid_shift": shifts, "out_shift": shifts}),
        )
        for step in model.steps
    )
    return replace(
        model,
        steps=steps,
        trits={name: WEIGHTS[weights](rng, trits) for name, trits in model.trits.items()},
        vectors={name: VECTORS[vectors](rng, v) for name, v in model.vectors.items()},
        embedding=EMBEDDINGS[embedding](rng, model.embedding),
    )


def write_state(chip, state):
    """Write the state of the last slot, zeros where a word has more elements than there are."""
    config, (layers, width) = chip.config, state.shape
    elements = config.elements
    padded = np.zeros((layers, -(-width // elements) * elements), dtype=np.int16)
    padded[:, :width] = state
    first = (config.slots - 1) * config.state_words
    chip.write_words(Memory.STATE, ram_pieces(padded.reshape(-1, elements)), first)


def compared(chip, model, golden, tokens):
    """Load a model and step tokens; return the first difference from a golden model."""
    image = lay_out(model, chip.config)
    chip.load(image)
    write_state(chip, golden.state)
    lockstep = Lockstep(chip, golden, model, image)
    found = next(filter(None, map(lockstep.step, tokens)), None)
    assert chip.fault() == ""
    return found


def binned(model, config, state, tokens):
    """Return the bins that a run of the golden model falls into."""
    golden, hit = Golden(model), set()
    golden.state[:] = state

    def see(_, step, values):
        y, sums, activations = values["y"], values["row_sum"], values.get("q")
        is_so = {
            f"{name} at its largest": (values[name] == end).any() for name, end in LARGEST.items()
        }
        is_so |= {
            f"{name} at its smallest": (values[name] == -end).any() for name, end in LARGEST.items()
        }
        if activations is not None:
            limit = 127 * step.columns
            is_so |= {
                f"{step.op.name} of nothing but zeros": not y.any(),
                "each activation at an end": (np.abs(activations) == 127).all(),
                "the largest row sum that there is": (sums == limit).any(),
                "the smallest row sum that there is": (sums == -limit).any(),
                "each logit the same": step.op is Op.LOGITS and (y == y[:, :1]).all(),
                "a matrix of one row": step.rows == 1,
                "a matrix of one column": step.columns == 1,
                "columns that end in the middle of a block": step.columns % config.columns,
                "columns that end with a block": step.columns % config.columns == 0,
                "rows that end in the middle of a group": step.rows % config.rows,
                "rows that end with a group": step.rows % config.rows == 0,
            }
        hit.update(name for name, so in is_so.items() if so)

    golden.run(np.array(tokens), see)
    if len(lay_out(model, config).segments) > len(model.steps):
        hit.add("a matrix in parts")
    return hit


@pytest.mark.parametrize(
    ("chip", "examples"),
    [
        ("cut", 40),
        pytest.param("odd-columns", 600, marks=pytest.mark.slow),
        pytest.param("cut", 600, marks=pytest.mark.slow),
    ],
)
def test_extremes(chip, examples):
    config, seen = config_for(chip), Counter()

    @seeded(default_seed())
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(options=models(), state=st.sampled_from([-32767, 0, 32767]))
    def run(options, state):
        model = made(*options)
        # A product that calibration saw as nothing but zeros makes this larger than a header holds.
        assume(all(step.eps_constant < 1 << 32 for step in model.steps))
        tokens = np.random.default_rng(options[-1]).integers(0, model.shape.vocab, 2).tolist()
        golden = Golden(model)
        golden.state[:] = state
        seen.update(binned(model, config, golden.state, tokens))
        difference = compared(device, model, golden, tokens)
        assert difference is None, str(difference)

    with CompiledChip(config) as device:
        run()
    print(f"seed {default_seed()}, of {examples} models:")
    for name in sorted(BINS):
        print(f"{seen[name]:4} {name}")
    assert set(seen) <= BINS
    missed = {name for name in BINS if not seen[name]}
    assert missed <= NEVER[chip]


@pytest.mark.parametrize("weights", ["ones", "zeros"])
def test_one_weight_is_seen(weights):
    """The very last one, among weights that are all the same."""
    shape = {"vocab": 40, "hidden": 30, "layers": 1, "intermediate": 20, "coarse": True}
    model = made(shape, weights, "as given", "as given", 0, None, 0)
    trits = {name: trits.copy() for name, trits in model.trits.items()}
    trits[model.steps[-1].name][-1, -1] ^= 1
    with CompiledChip(config_for("cut")) as chip:
        found = compared(chip, replace(model, trits=trits), Golden(model), [3])
        last = lay_out(model, chip.config).segments[-1].header.rows - 1
    assert (found.name, found.probe, found.row) == (model.steps[-1].name, "sums", last)
