"""PcieLink: order, room, resets, and a device that is gone."""

import numpy as np
import pytest

from sterna.device import pcie_link
from sterna.device.operations import read, read_next, write
from sterna.device.pcie_link import PcieLink
from sterna.errors import DeviceError, LinkReset
from sterna.spec.link import Code
from sterna.spec.pcie import COUNT_BITS
from sterna.spec.registers import INTERFACE_VERSION, MAGIC
from tests.pcie.fake import FakeBar


def test_order():
    bar = FakeBar()
    link = PcieLink(bar)
    words = link.execute(
        [
            read_next("MAGIC", 2),
            write("COUNT", 7),
            read("COUNT"),
            write("COUNT", 8, 9),
            write("TEMPERATURE", 3),
            read("COUNT", 2),
            read("TEMPERATURE"),
        ]
    )
    assert words.tolist() == [MAGIC, INTERFACE_VERSION, 7, 9, 9, 3]
    assert words.dtype == np.dtype("<u4")
    assert bar.writes == [("COUNT", 7), ("COUNT", 8), ("COUNT", 9), ("TEMPERATURE", 3)]
    link.close()
    assert bar.closed


def test_consecutive_registers():
    bar = FakeBar()
    operation = write("SEED_LOW", 1, 2)
    next_ones = type(operation)(Code.WRITE_NEXT, "SEED_LOW", 2, operation.words)
    PcieLink(bar).execute([next_ones])
    assert bar.writes == [("SEED_LOW", 1), ("SEED_HIGH", 2)]


@pytest.mark.parametrize("room", [0, 1, 5, 100])
def test_writes_wait_for_room(room):
    """Each once and in order, however often there is none."""
    bar = FakeBar(room)
    link = PcieLink(bar)
    tokens = np.arange(50)
    words = link.execute(
        [write("COUNT", 1), write("TOKEN", tokens), write("COUNT", 2), read("COUNT")]
    )
    assert bar.tokens == tokens.tolist()
    assert bar.writes[0] == ("COUNT", 1)
    assert bar.writes[-1] == ("COUNT", 2)
    assert words.tolist() == [2]


def test_offer():
    bar = FakeBar(4)
    link = PcieLink(bar)
    assert link.offer(write("TOKEN", np.arange(10))) == 4
    assert link.offer(write("TOKEN", np.arange(4, 10))) == 3
    assert bar.tokens == list(range(7))


def test_count_wraps():
    bar = FakeBar()
    bar.count = (1 << COUNT_BITS) - 3
    link = PcieLink(bar)
    link.execute([write("TOKEN", np.arange(8))])
    link.execute([write("TOKEN", np.arange(8))])
    assert bar.tokens == [*range(8), *range(8)]


def test_long_writes_are_looked_after(monkeypatch):
    monkeypatch.setattr(pcie_link, "_MOST", 16)
    bar = FakeBar()
    link = PcieLink(bar)
    looks = bar.looks
    link.execute([write("TOKEN", np.arange(100))])
    assert bar.looks - looks == 7
    assert bar.tokens == list(range(100))


def test_no_room_for_ever(monkeypatch):
    monkeypatch.setattr(pcie_link, "_PATIENCE", 0.01)
    bar = FakeBar(0, more=0)
    with pytest.raises(DeviceError, match="takes no more data"):
        PcieLink(bar).execute([write("TOKEN", 1)])
    assert bar.tokens == []


def test_reset_is_told():
    bar = FakeBar()
    link = PcieLink(bar)
    link.execute([write("COUNT", 3)])
    bar.reset()
    with pytest.raises(LinkReset, match="was reset"):
        link.execute([write("COUNT", 4)])
    link.execute([write("COUNT", 5)])
    assert bar.writes == [("COUNT", 3), ("COUNT", 5)]


def test_device_gone():
    bar = FakeBar()
    link = PcieLink(bar)
    bar.gone = True
    with pytest.raises(DeviceError, match="does not answer"):
        link.execute([write("COUNT", 3)])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda bar: bar.words.update(MAGIC=5), "no Sterna"),
        (lambda bar: bar.words.update(VERSION=99), "version 99"),
        (lambda bar: setattr(bar, "gone", True), "does not answer"),
        (lambda bar: setattr(bar, "deaf", True), "does not take what is written"),
    ],
)
def test_refused(change, words):
    bar = FakeBar()
    change(bar)
    with pytest.raises(DeviceError, match=words):
        PcieLink(bar)
    assert bar.closed
