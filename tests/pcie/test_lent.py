"""A tape in the host's memory: how it is laid out, and what the driver tells the device of it."""

import numpy as np
import pytest

from sterna.device import pcie_link
from sterna.device.lent import laid_out, table_writes
from sterna.device.operations import read, write
from sterna.device.pcie_link import PcieLink
from sterna.errors import DeviceError, InputError
from sterna.spec.dma import (
    BEATS_SHIFT,
    BLOCK_BYTES,
    BUSY,
    ENTRIES,
    LARGE,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    TABLE,
    THERE,
    DmaError,
    DmaRegister,
)
from sterna.spec.registers import REGISTERS, VALID
from tests.pcie.fake import FakeBar

OFFSETS = {4 * register: register for register in DmaRegister}


class Pages:
    def __init__(self, addresses, page_bytes=PAGE_BYTES):
        self.addresses, self.page_bytes, self.data = addresses, page_bytes, b""

    def fill(self, data):
        self.data = bytearray(data)

    def take(self, place):
        entry = int.from_bytes(self.data[8 * place : 8 * place + 8], "little")
        self.data[8 * place : 8 * place + 8] = bytes(8)
        return entry


class DmaBar(FakeBar):
    """A BAR with registers for DMA, beats of 256 bits; busy for `busy` looks after a stop."""

    def __init__(self, lends=True, there=True, busy=0):
        self.lends, self.there, self.busy = lends, there, busy
        self.told, self.run, self.lent, self.stuck = [], 0, [], False
        self.errors = 0
        super().__init__()

    def read(self, offset):
        register = OFFSETS.get(offset)
        if register is None or self.gone or not self.there:
            return super().read(offset)
        if register is DmaRegister.STATUS:
            self.busy -= bool(self.busy and not self.run)
            return THERE | BUSY * bool(self.busy) | 2 << BEATS_SHIFT | self.errors
        return self.run if register is DmaRegister.RUN else 0

    def write(self, offset, word):
        register = OFFSETS.get(offset)
        if register is None:
            super().write(offset, word)
            return
        self.count += 1
        free = (DmaRegister.RUN, DmaRegister.TAKEN)
        assert not (self.run and register not in free), "locked"
        self.told.append((register, word))
        if register is DmaRegister.STATUS:
            self.errors = 0
        if register is DmaRegister.RUN:
            self.run = word & (not self.busy) & (not self.stuck)

    def lend(self, size, written=False):
        if not self.lends:
            return None
        if written:
            self.ring = Pages([0x77 << 33 | 0x3000])
            return self.ring
        self.lent.append(Pages([n << 33 | 0x5000 for n in range(-(-size // PAGE_BYTES))]))
        return self.lent[-1]

    def close(self):
        assert not self.busy, "closed while something was on its way"
        super().close()


def tape(words=300, pieces=3):
    return np.arange(words * pieces, dtype="<u4").reshape(words, pieces)


@pytest.mark.parametrize("bits", [64, 128, 256, 512])
@pytest.mark.parametrize("pieces", [1, 3, 8, 13])
def test_layout(bits, pieces):
    """Each word begins with a beat, and the last block is whole."""
    words = tape(37, pieces)
    data = laid_out(words, bits)
    assert len(data) % BLOCK_BYTES == 0
    size = -(-pieces * 32 // bits) * bits // 8
    assert len(data) - 37 * size < BLOCK_BYTES
    for number, word in enumerate(words):
        part = np.frombuffer(data[number * size :][:size], dtype="<u4")
        assert part[:pieces].tolist() == word.tolist()
        assert not part[pieces:].any()


def test_device_is_told():
    bar = DmaBar()
    link = PcieLink(bar)
    assert link.lend_tape(tape())
    (lent,) = bar.lent
    assert lent.data == laid_out(tape(), 256)
    pages = [
        each for n in range(3) for each in ((DmaRegister.LOW, 0x5000), (DmaRegister.HIGH, 2 * n))
    ]
    assert bar.told == [
        (DmaRegister.RUN, 0),
        (DmaRegister.PAGES, 4),
        (DmaRegister.INDEX, 0),
        *pages,
        (DmaRegister.LOW, 0x3000),
        (DmaRegister.HIGH, 2 * 0x77),
        (DmaRegister.BLOCKS, 300 * 32 // BLOCK_BYTES),
        (DmaRegister.RING, 3 * 32),
        (DmaRegister.TAKEN, 0),
        (DmaRegister.STATUS, 0),
        (DmaRegister.RUN, 1),
    ]
    # The same memory once more, after a reset; another one for a tape that is longer.
    assert link.lend_tape(tape(200))
    assert len(bar.lent) == 1
    assert lent.data == laid_out(tape(200), 256)
    assert link.lend_tape(tape(400))
    assert len(bar.lent) == 2


def test_waits_for_what_is_on_its_way(monkeypatch):
    """Memory is written, and freed, only when nothing comes from it any more."""
    bar = DmaBar(busy=5)
    link = PcieLink(bar)
    assert link.lend_tape(tape())
    bar.busy = 3
    link.close()
    assert bar.closed
    assert bar.told[-1] == (DmaRegister.RUN, 0)
    monkeypatch.setattr(pcie_link, "_PATIENCE", 0.01)
    with pytest.raises(DeviceError, match="waits for what it has asked for"):
        PcieLink(DmaBar(busy=1 << 40)).lend_tape(tape())


WORDS = {
    DmaError.FAILED: "refused to read its memory",
    DmaError.MALFORMED: "not what the card asked for",
    DmaError.TIMEOUT: "did not answer the card in time",
    DmaError.OUTSIDE: "the end of the pages",
    DmaError.DAMAGED: "damaged on their way",
}


@pytest.mark.parametrize("error", DmaError)
def test_failed_reads_are_told(error):
    """Once, whatever is asked for next; a tape that is lent anew clears it."""
    bar = DmaBar()
    link = PcieLink(bar)
    bar.errors = 1 << error
    link.execute([read("COUNT")])  # it has been lent nothing yet
    assert link.lend_tape(tape())
    link.execute([write("COUNT", 3), read("COUNT")])
    bar.errors = 1 << error
    with pytest.raises(DeviceError, match=f"card at 0000:01:00.0: .*{WORDS[error]}.*; the next"):
        link.execute([read("COUNT")])
    assert link.execute([read("COUNT")]).tolist() == [3]
    assert link.lend_tape(tape())
    assert not bar.errors
    assert link.execute([read("COUNT")]).tolist() == [3]


class Chip:
    """Writes entries to the ring as the chip does."""

    def __init__(self, bar):
        self.bar, self.written = bar, 0

    def write(self, register, *words):
        for word in words:
            place = 8 * (self.written % ENTRIES)
            entry = word | REGISTERS[register].address << 32
            self.bar.ring.data[place : place + 8] = entry.to_bytes(8, "little")
            self.written += 1


def test_results_come_from_the_ring():
    """As from the registers, each from its own, and the device is told what was taken."""
    bar = DmaBar()
    link = PcieLink(bar)
    bar.words["GENERATED"] = VALID | 99
    assert link.execute([read("GENERATED")]).tolist() == [VALID | 99]
    assert link.lend_tape(tape())
    chip = Chip(bar)
    assert link.execute([read("GENERATED", 3)]).tolist() == [0, 0, 0]
    chip.write("GENERATED", VALID | 1, VALID | 2)
    chip.write("LOGIT", VALID | 3)
    chip.write("GENERATED", VALID | 4)
    words = link.execute([read("GENERATED", 2), read("COUNT"), read("LOGIT", 2)])
    assert words.tolist() == [VALID | 1, VALID | 2, 0, VALID | 3, 0]
    assert link.execute([read("GENERATED", 2)]).tolist() == [VALID | 4, 0]
    told = len(bar.told)
    for start in range(4, 3 * ENTRIES, 100):
        logits = [VALID | n for n in range(start, start + 100)]
        chip.write("LOGIT", *logits)
        assert link.execute([read("LOGIT", 101)]).tolist() == [*logits, 0]
    assert {register for register, _ in bar.told[told:]} == {DmaRegister.TAKEN}
    assert [word for _, word in bar.told[told:]][-1] > chip.written - ENTRIES // 4
    # A ring that begins anew is empty, whatever was left in it.
    chip.write("GENERATED", VALID | 5)
    assert link.lend_tape(tape())
    assert link.execute([read("GENERATED")]).tolist() == [0]
    Chip(bar).write("GENERATED", VALID | 6)
    assert link.execute([read("GENERATED")]).tolist() == [VALID | 6]


def test_failed_reads_are_told_to_who_waits_for_room():
    bar = DmaBar()
    bar.room, bar.more = 2, 0
    link = PcieLink(bar)
    assert link.lend_tape(tape())
    bar.errors = 1 << DmaError.TIMEOUT | 1 << DmaError.DAMAGED
    with pytest.raises(DeviceError, match=f"{WORDS[2]}; .*{WORDS[4]}"):
        link.execute([write("TOKEN", 1, 2, 3)])
    assert bar.tokens == [1, 2]


@pytest.mark.parametrize("options", [{"lends": False}, {"there": False}])
def test_no_way(options):
    bar = DmaBar(**options)
    link = PcieLink(bar)
    assert not link.lend_tape(tape())
    assert (DmaRegister.RUN, 1) not in bar.told
    link.close()
    assert bar.closed


def test_device_does_not_begin():
    bar = DmaBar()
    bar.stuck = True
    with pytest.raises(DeviceError, match="does not begin"):
        PcieLink(bar).lend_tape(tape())


def test_large_pages():
    lent = Pages([LARGE_PAGE_BYTES], LARGE_PAGE_BYTES)
    assert next(table_writes(lent, 4096)) == (DmaRegister.PAGES, 1 | LARGE)


def test_too_many_pages():
    lent = Pages([PAGE_BYTES * n for n in range(TABLE + 1)])
    with pytest.raises(InputError, match="needs 513 pages of 4096 bytes, and a device knows 512"):
        list(table_writes(lent, PAGE_BYTES * TABLE + 1))
