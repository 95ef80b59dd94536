"""Without hardware: the host's own driver talks to the gateware through a root complex."""

import pytest

from sterna.model.layout import fit
from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_rtl.pcie_chip import PcieChip
from tests.chip.models import CONFIGS, model_of
from tests.pcie.test_root_complex import run
from tests.pcie.tops import CLOCK_HZ, CONFIG, DMA_CONFIG

WIDTH = 256


def dma_top():
    """A chip with DMA that does not wait long for an answer."""
    top = PcieChip(DMA_CONFIG, WIDTH, CLOCK_HZ)
    top.dma = DmaTape(DMA_CONFIG, WIDTH, patience=5000)
    return top


@pytest.mark.slow
def test_driver_on_the_chip():
    tests, failed, said = run(PcieChip(CONFIG, WIDTH, CLOCK_HZ), "tests.pcie.driver_module")
    assert (tests, failed) == (1, 0), said


def test_tape_from_the_hosts_memory():
    """The same with the tape in scattered pages of the host, in a chip with four slots."""
    tests, failed, said = run(dma_top(), "tests.pcie.driver_module")
    assert (tests, failed) == (1, 0), said


@pytest.mark.slow
def test_reads_that_fail():
    """An error, poison or silence instead of an answer is told in words; then all goes on."""
    tests, failed, said = run(dma_top(), "tests.pcie.faults_module")
    assert (tests, failed) == (1, 0), said


@pytest.mark.slow
def test_shipped_model():
    """It talks, on lanes like the reference's, with the tape in the host's memory."""
    config = fit(model_of("tern-ecp5"), **CONFIGS["reference"], ring_words=1024)
    tests, failed, said = run(PcieChip(config, WIDTH, CLOCK_HZ), "tests.pcie.shipped_module")
    assert (tests, failed) == (1, 0), said
