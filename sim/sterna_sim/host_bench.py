"""Time that the host's driver needs for a token over PCIe, before a card that answers at once."""

from __future__ import annotations

import mmap
import time
import zlib
from dataclasses import dataclass

from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.pcie_link import PcieLink
from sterna.device.sysfs import BarWords
from sterna.device.vfio import Mapped
from sterna.model.layout import Image, lay_out
from sterna.model.model import Model
from sterna.spec.chip import ChipConfig
from sterna.spec.dma import BEATS_SHIFT, ENTRIES, THERE, DmaRegister
from sterna.spec.memories import MEMORIES
from sterna.spec.pcie import BAR_BYTES, BEAT_BITS, COUNT_BITS, LINK
from sterna.spec.registers import (
    CONFIG_REGISTERS,
    INTERFACE_VERSION,
    LAST,
    MAGIC,
    REGISTERS,
    VALID,
    Memory,
)

__all__ = ["HostTime", "host_time"]

TOKENS = 20_000
CLOCK_HZ = 250_000_000


def _place(register: str) -> int:
    """Byte offset of a register."""
    return 4 * REGISTERS[register].address


class InstantCard(BarWords):
    """A card in this process: registers in mapped memory, and a ring that it writes at once.

    Parameters
    ----------
    config : ChipConfig
    image : Image
        What its memories hold.
    most : int
        Tokens that it has drawn whenever it is asked for its status.
    """

    name = "card that answers at once"

    def __init__(self, config: ChipConfig, image: Image, most: int) -> None:
        super().__init__(mmap.mmap(-1, BAR_BYTES))
        self.most, self.reads, self.count, self.left, self.written = most, 0, 0, 0, 0
        self.sums = {m: zlib.crc32(words.tobytes()) for m, words in image.memories().items()}
        self.ring = memoryview(b"")
        told = {
            "MAGIC": MAGIC, "VERSION": INTERFACE_VERSION, "CLOCK_HZ": CLOCK_HZ,
            "DIGEST_LOW": int(config.digest[8:], 16), "DIGEST_HIGH": int(config.digest[:8], 16),
            "CONFIG_MEMORY": list(MEMORIES).index(config.memory),
            **{name: int(getattr(config, field)) for name, field in CONFIG_REGISTERS.items()},
        }  # fmt: skip
        for name, word in told.items():
            self._words[_place(name) // 4] = word
        self._words[DmaRegister.STATUS] = THERE | BEAT_BITS.index(256) << BEATS_SHIFT

    def read(self, offset: int) -> int:
        """Read a word; STATUS once more tokens have been drawn."""
        self.reads += 1
        if offset == _place("STATUS") and self.left:
            self._draw()
        return super().read(offset)

    def write(self, offset: int, word: int) -> None:
        """Write a word, and count it in LINK."""
        if offset == LINK:
            return
        self.count = (self.count + 1) % (1 << COUNT_BITS)
        super().write(LINK, self.count)
        if offset == 4 * DmaRegister.STATUS:
            return
        super().write(offset, word)
        if offset == _place("CHECK"):
            memory = Memory(super().read(_place("MEMORY")))
            super().write(_place("CHECKSUM"), self.sums[memory])
        elif offset == _place("TOKEN") and word & VALID:
            self.left = super().read(_place("COUNT"))
        elif offset == 4 * DmaRegister.RUN:
            self.written = 0

    def lend(self, size: int, written: bool = False) -> Mapped:
        """Memory of this process, whose addresses nobody uses."""
        lent = Mapped(size, 0)
        if written:
            self.ring = memoryview(lent.memory).cast("Q")
        return lent

    def _draw(self) -> None:
        """Write entries to the ring: tokens that are all 1."""
        taken = super().read(4 * DmaRegister.TAKEN)
        for _ in range(min(self.most, self.left, ENTRIES - self.written + taken)):
            self.left -= 1
            word = VALID | 1 | (0 if self.left else LAST)
            self.ring[self.written % ENTRIES] = REGISTERS["GENERATED"].address << 32 | word
            self.written += 1


@dataclass(frozen=True, slots=True)
class HostTime:
    """What the driver needs for a token; of this computer's processor and Python.

    Attributes
    ----------
    tokens_a_look : int
        Tokens that are there whenever the driver looks.
    microseconds : float
        Of processor time for a token, the card's own part within.
    reads : float
        Of registers for a token, each of which is a round trip on a real link.
    """

    tokens_a_look: int
    microseconds: float
    reads: float


def host_time(model: Model, config: ChipConfig, most: int) -> HostTime:
    """Generate from a card that has drawn so many tokens at each look; its tape is lent."""
    card = InstantCard(config, lay_out(model, config, streamed=True), most)
    device = ChipDevice(PcieLink(card), model, card.name)
    card.reads, began = 0, time.process_time()
    drawn = sum(1 for _ in device.generate([1], TOKENS, Sampling()))
    seconds, reads = time.process_time() - began, card.reads
    device.close()
    assert drawn == TOKENS
    return HostTime(most, seconds / TOKENS * 1e6, reads / TOKENS)
