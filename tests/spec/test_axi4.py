"""What a memory behind AXI4 may be."""

from dataclasses import replace

import pytest

from sterna.errors import InputError
from sterna.spec.axi4 import Axi4

MEMORY = Axi4(data_bits=256, ports=32, port_bytes=1 << 28, spacing=1 << 28, outstanding=10)


def test_sizes():
    assert (MEMORY.word_bits, MEMORY.beat_bytes) == (8192, 32)
    assert MEMORY.words == MEMORY.blocks == 1 << 23
    assert MEMORY.address_bits == 33
    assert replace(MEMORY, spacing=0).address_bits == 28


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_bits", 32),
        ("data_bits", 1024),
        ("ports", 3),
        ("ports", 64),
        ("ports", 0),
        ("port_bytes", 2048),
        ("port_bytes", 5000),
        ("spacing", 1 << 27),
        ("spacing", -(1 << 28)),
        ("outstanding", 0),
        ("outstanding", 65),
        ("outstanding", 4.0),
    ],
)
def test_refused(name, value):
    with pytest.raises(InputError, match=name):
        replace(MEMORY, **{name: value})
