"""What the driver asks of a card for a token: three reads of registers, however many there are."""

import pytest

from sterna_sim.host_bench import host_time
from tests.chip.models import model_of
from tests.pcie.tops import DMA_CONFIG


@pytest.mark.parametrize("most", [1, 16])
def test_three_reads_a_look(most):
    found = host_time(model_of("fixture-a"), DMA_CONFIG, most)
    print(found)
    # A few more begin and end it; 16 tokens are what the driver takes at once.
    assert 3 / most <= found.reads < 3 / most + 0.05
    assert found.microseconds > 0
