"""The cycle expectation against the compiled chip, and against what the units say."""

import pytest
from amaranth.hdl import Fragment

from sterna.model.layout import lay_out
from sterna.model.outline import Outline
from sterna.plan import clocks
from sterna.plan import quantizer as plan_quantizer
from sterna.plan.clocks import expected_clocks, pass_ends
from sterna.plan.latencies import Latencies
from sterna.spec.chip import REFERENCE
from sterna_rtl.datapath import engine as rtl_engine
from sterna_rtl.datapath.engine import TernaryEngine
from sterna_rtl.datapath.epilogue import Epilogue
from sterna_rtl.datapath.noise import Noise
from sterna_rtl.datapath.quantizer import Quantizer
from sterna_rtl.datapath.scale import Scale
from sterna_sim.bench import PASSES, SMALL, draw_passes, random_model
from sterna_sim.compiled.chip import CompiledChip
from tests.chip.models import CONFIGS, config_for, model_of
from tests.plan.drawn import draw
from tests.tiny import tiny_model

DRAWN = range(309, 317)
"""Seeds of the configurations that were drawn after the model of clocks had been fixed."""


@pytest.mark.parametrize("name", CONFIGS)
def test_latencies(name):
    """The formulae are what the units state."""
    config = config_for(name)
    latencies = Latencies.of(config)
    engine, epilogue, quantizer = TernaryEngine(config), Epilogue(config), Quantizer(config)
    for unit in (engine, epilogue, quantizer):
        Fragment.get(unit, None)
    assert latencies.engine == engine.latency + (config.rows != config.elements)
    assert latencies.barrier == quantizer.barrier
    assert plan_quantizer.read_ahead(config) == quantizer.read_ahead
    assert latencies.writes == epilogue.writes
    assert latencies.noise == 3 * Noise(min(config.rows, config.elements)).latency + 2


def test_constants():
    """So are those that no configuration changes."""
    assert (Scale.fresh_latency, Scale.latency) == (plan_quantizer.SCALE, plan_quantizer.KEPT_SCALE)
    assert clocks.SUMS == rtl_engine._QUEUE_DEPTH


def errors(model, config, period):
    """Relative error of the expectation for each number of slots."""
    image = lay_out(model, config)
    with CompiledChip(config) as chip:
        for slots in range(1, config.slots + 1):
            measured = draw_passes(chip, image, period, slots)
            if config.ring_words:
                expected = pass_ends(model.steps, config, slots, period, PASSES)[-1] / PASSES
            else:
                expected = expected_clocks(model.steps, config, slots)
            print(f"{slots} slots: {measured:.1f} clocks per pass, expected {expected:.1f}")
            yield expected / measured - 1


@pytest.mark.parametrize(
    "model, config, period",
    [
        ("odd", "odd-columns", 1),
        ("odd", "three-slots", 1),
        pytest.param("fixture-a", "ring", 3, marks=pytest.mark.slow),
    ],
)
def test_small_chips(model, config, period):
    found = list(errors(model_of(model), config_for(config), period))
    assert max(map(abs, found)) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("seed", DRAWN)
def test_drawn_chips(seed):
    drawn = draw(seed)
    model = tiny_model(**drawn.sizes)
    found = list(errors(model, drawn.config(Outline.of(model)), drawn.period))
    assert max(map(abs, found)) < 0.02


def test_short_segments():
    """Half of the clocks are those of barriers; `make bench` measures the same model."""
    model = random_model(SMALL)
    lay_out(model, REFERENCE)  # it fits
    assert model.shape.ternary_weights == 98_304
    assert expected_clocks(model.steps, REFERENCE) <= 860


def test_memory_is_the_limit():
    """As slow as the memory, and no faster than with the tape on the chip."""
    steps, config = model_of("fixture-a").steps, config_for("ring")
    tape = len(lay_out(model_of("fixture-a"), config).tape)
    for slots in (1, 4):
        inside = expected_clocks(steps, config, slots)
        assert inside <= expected_clocks(steps, config, slots, 0.5) < inside * 1.05
        for period in (20, 33.3):
            outside = expected_clocks(steps, config, slots, period)
            assert tape * period <= outside * 1.0001 < tape * period * 1.05
