"""The chip's Verilog under cocotb, with every stall pattern on its register port."""

from dataclasses import replace

import numpy as np
import pytest

from sterna.device.chip import passes
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.model.layout import fit, lay_out, ram_pieces
from sterna.plan.clocks import expected_clocks
from sterna.spec.registers import LAST, MAGIC, REGISTERS, SLOT_SHIFT, VALID, Control, Memory
from sterna.spec.trits import Packing
from sterna_rtl.chip import Chip
from sterna_sim.kit import Case, UnitBench, run_cocotb
from tests.tiny import tiny_model

TOKENS, PROMPT = 4, [3, 1]
SAMPLING = Sampling(temperature=1.0, seed=3)


def model():
    return tiny_model(vocab=11, hidden=10, layers=2, intermediate=13, coarse=True)


def write(register, value):
    return {"write": 1, "address": REGISTERS[register].address, "data": int(value)}


def read(register):
    return {"write": 0, "address": REGISTERS[register].address, "data": 0}


def load(memory, words):
    pieces = ram_pieces(words) if words.dtype != np.uint32 else words
    data = [write("DATA", piece) for piece in pieces.reshape(-1)]
    return [write("MEMORY", memory), write("ADDRESS", 0), *data]


class ChipBench(UnitBench):
    """Load a model, generate, and read tokens, state and event counters back."""

    name = "chip"
    configs = {
        "small": replace(
            fit(model(), rows=2, columns=8, elements=4, packing=Packing.FIVE_THIRDS),
            embedding_bits=8,
        ),
        "serial": fit(model(), rows=2, columns=3, elements=1, packing=Packing.TWO_BITS),
        # Its matrices are cut, so that slots take turns within each.
        "two-slots": fit(
            model(), rows=2, columns=3, elements=1, packing=Packing.TWO_BITS, psum_words=4, slots=2
        ),
    }
    not_stalled = {"i": "the registers are ready for a request, not before it"}
    reset_test = False  # RAMs keep what the cut run wrote, registers do not

    def dut(self, config):
        return Chip(config)

    def cases(self, config, rng):
        image, shape = lay_out(model(), config), model().shape
        golden = GoldenDevice(model())
        golden.state = rng.integers(-32767, 32768, golden.state.shape)
        words, last = -(-shape.width // config.elements), config.slots - 1
        state = np.zeros((config.slots, shape.layers, words * config.elements), dtype=np.int16)
        state[last, :, : shape.width] = golden.state
        initial = state.reshape(-1, config.elements).copy()
        if last:
            # The slot of the prompt's first token has the state after it.
            first = GoldenDevice(model())
            first.state = golden.state
            first.logits(PROMPT[:1])
            state[0, :, : shape.width] = first.state
        drawn = list(golden.generate(PROMPT, TOKENS, SAMPLING))
        # A read takes two clocks at least: as many as the tokens need, twice over.
        pause = (len(PROMPT) + TOKENS) * int(expected_clocks(model().steps, config))
        tokens = passes(PROMPT, config.slots, config.slots).tolist()
        requests = [
            *load(Memory.TAPE, image.tape),
            *load(Memory.VECTOR_A, image.vector_a),
            *load(Memory.VECTOR_B, image.vector_b),
            *load(Memory.EMBEDDING, image.embedding),
            *load(Memory.STATE, initial),
            write("TAPE_LENGTH", len(image.tape)),
            write("CONTROL", 1 << Control.RESET | 1 << Control.CLEAR_COUNTERS),
            write("SLOT", last),
            write("TEMPERATURE", SAMPLING.chip_temperature(model())),
            write("SEED_LOW", SAMPLING.chip_seed() & 0xFFFFFFFF),
            write("SEED_HIGH", SAMPLING.chip_seed() >> 32),
            write("CONTROL", 1 << Control.LOAD_SEED),
            write("COUNT", TOKENS),
            *(write("TOKEN", token) for token in tokens[:-1]),
            write("TOKEN", tokens[-1] | VALID),
        ]
        state[last, :, : shape.width] = golden.state
        pieces = ram_pieces(state.reshape(-1, config.elements)).reshape(-1)
        counters, of_slot = golden.counters(), VALID | last << SLOT_SHIFT
        reads = [
            *[("MAGIC", MAGIC)] * pause,
            *(
                ("GENERATED", token | of_slot | (LAST if number == TOKENS - 1 else 0))
                for number, token in enumerate(drawn)
            ),
            ("GENERATED", 0),
            ("STATUS", 0),
            *((f"COUNTER_{name.upper()}", value) for name, value in counters.items()),
        ]
        readback = [write("MEMORY", Memory.STATE), write("ADDRESS", 0)]
        readback += [read("DATA")] * len(pieces)
        yield Case(
            {"i": requests + [read(name) for name, _ in reads] + readback},
            {"o": [value for _, value in reads] + [int(piece) for piece in pieces]},
        )


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "config", ["two-slots", *(pytest.param(name, marks=SLOW) for name in ("serial", "small"))]
)
def test_cocotb(config):
    run_cocotb(ChipBench(), config)
