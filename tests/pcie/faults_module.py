"""cocotb test: reads of the tape fail, are told in words, and the next request is right."""

from __future__ import annotations

import re

import cocotb
import numpy as np
import pytest

from sterna.device.golden import GoldenDevice
from sterna.errors import DeviceError
from tests.pcie.driver_module import PROMPT, SAMPLING, SMALL, behind, talk

FAULTS = {
    "unsupported": "refused to read its memory",
    "poisoned": "damaged on their way (poisoned)",
    "lost": "did not answer the card in time",
}
"""How a read is answered, and what the driver must say of it."""

GOOD = 30
"""Reads that are answered well before it: some tokens' worth."""


def use(window, slot) -> None:
    """Have each of them happen while the chip generates, and generate once more."""
    golden = list(GoldenDevice(SMALL).generate(PROMPT, 2, SAMPLING))
    device = behind(window, slot, SMALL)
    for fault, words in FAULTS.items():
        for spoilt in ([fault], []):
            slot.spoilt = ["well"] * GOOD * len(spoilt) + spoilt
            device.state = np.zeros_like(device.state)
            if spoilt:
                with pytest.raises(DeviceError, match=re.escape(words)) as said:
                    list(device.generate(PROMPT, 100, SAMPLING))
                print(f"{fault}: {said.value}")
                assert not slot.spoilt
            else:
                assert list(device.generate(PROMPT, 2, SAMPLING)) == golden
    device.close()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def faults(dut) -> None:
    """What is asked for after a fault is golden's again."""
    assert (await talk(dut, use)).reads
