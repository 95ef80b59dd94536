"""What goes to place and route, simulated cell by cell: tokens and every vector are golden's."""

import json
from collections import Counter

import numpy as np
import pytest

from sterna.golden.step import Golden
from sterna.model.layout import fit, lay_out
from sterna.plan.area import multipliers
from sterna.plan.memories import block_rams, memories
from sterna.spec.trits import Packing
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.lockstep import Lockstep
from sterna_sim.tools import BUILD
from tests.tiny import tiny_model

TOKENS = (3, 17, 5, 28)


def small():
    """The smallest chip, with registers in multipliers and block RAMs, and LUTRAM."""
    model = tiny_model(vocab=29, hidden=24, layers=1, intermediate=40)
    return model, fit(model, rows=1, columns=8, elements=1, packing=Packing.TWO_BITS)


@pytest.mark.slow
def test_gates_compute_what_golden_does():
    model, config = small()
    image, golden = lay_out(model, config), Golden(model)
    with CompiledChip(config, gates=True) as chip:
        chip.load(image)
        lockstep = Lockstep(chip, golden, model, image)
        for token in TOKENS:
            assert lockstep.step(token) is None
        # A cell that computes something else would be seen: so is a bit of the state.
        golden.state = golden.state ^ np.int64(1 << 9)
        assert lockstep.step(TOKENS[0]) is not None
    mapped = json.loads((BUILD / "gates" / config.digest / "mapped.json").read_text())
    cells = Counter(cell["type"] for cell in mapped["modules"]["top"]["cells"].values())
    # All but the link's two, which the simulation keeps too.
    assert cells["DP16KD"] == sum(m.copies * block_rams(m.words, m.bits) for m in memories(config))
    assert cells["MULT18X18D"] == multipliers(config)
