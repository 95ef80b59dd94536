"""Without hardware: the host's own driver talks to the gateware through a root complex."""

from sterna_rtl.pcie_chip import PcieChip
from tests.pcie.test_root_complex import run
from tests.pcie.tops import CLOCK_HZ, CONFIG

WIDTH = 256


def test_driver_on_the_chip():
    tests, failed, said = run(PcieChip(CONFIG, WIDTH, CLOCK_HZ), "tests.pcie.driver_module")
    assert (tests, failed) == (1, 0), said
