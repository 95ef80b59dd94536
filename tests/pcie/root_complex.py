"""Inside the simulator: a root complex, the block's model, and the chip between its streams."""

from __future__ import annotations

import itertools
import logging
import os
import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiStreamBus
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.core.tlp import Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId
from cocotbext.pcie.xilinx.us import UltraScalePlusPcieDevice

from sterna.spec.dma import PAGE_BYTES
from sterna.spec.pcie import BAR_BYTES, DEVICE, VENDOR
from sterna_sim.pcie_card import LINKS
from tests.pcie.request_rules import RequestRules
from tests.pcie.rules import CompletionRules, Packet

__all__ = ["Slot"]


class Slot:
    """The device under test in a slot of a computer, with the rules watching its completions."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.width = len(dut.m_axis_cq_tdata)
        generation, lanes, clock = LINKS[self.width]
        self.root = RootComplex()
        self.block = UltraScalePlusPcieDevice(
            pcie_generation=generation,
            pcie_link_width=lanes,
            user_clk_frequency=clock,
            max_payload_size=512,
            user_clk=dut.clk,
            user_reset=dut.rst,
            cq_bus=AxiStreamBus.from_prefix(dut, "m_axis_cq"),
            cc_bus=AxiStreamBus.from_prefix(dut, "s_axis_cc"),
            enable_extended_tag=True,
            **self._requester(dut),
        )
        # The root complex warns of each place on its bus where there is nothing.
        streams = ("cq_source", "cc_sink", "rc_source", "rq_sink")
        for part in (self.root, self.block, *(getattr(self.block, name) for name in streams)):
            if part:
                part.log.setLevel(logging.ERROR)
        function = self.block.functions[0]
        function.vendor_id, function.device_id = VENDOR, DEVICE
        function.configure_bar(0, BAR_BYTES)
        self.root.make_port().connect(self.block)
        self.rules = CompletionRules(self.width)
        self.reads: RequestRules | None = None
        self.come = 0  # bytes that the host's memory has given
        self.spoilt: list[str] = []  # how the next reads are answered; later ones well
        for kind in (TlpType.MEM_READ, TlpType.MEM_READ_64):
            self.root.register_rx_tlp_handler(kind, self._answer)
        cocotb.start_soon(self._watch())
        if hasattr(dut, "s_axis_rq_tdata"):
            self.reads = RequestRules(self.width, 128 << self.root.max_read_request_size, [])
            cocotb.start_soon(self._watch_reads())

    async def plug_in(self):
        """Let the host find the device and map its BAR; return the BAR."""
        await self.root.enumerate()
        device = self.root.find_device(self.block.functions[0].pcie_id)
        await device.enable_device()
        await device.set_master()
        assert (device.vendor_id, device.device_id) == (VENDOR, DEVICE)
        assert device.bar_size[0] == BAR_BYTES
        return device.bar_window[0]

    @staticmethod
    def _requester(dut) -> dict[str, Any]:
        """Ports that only a device with DMA has."""
        if not hasattr(dut, "s_axis_rq_tdata"):
            return {}
        return {
            "rq_bus": AxiStreamBus.from_prefix(dut, "s_axis_rq"),
            "rc_bus": AxiStreamBus.from_prefix(dut, "m_axis_rc"),
            "cfg_max_read_req": dut.cfg_max_read_req,
        }

    def lend(self, size: int, written: bool = False) -> Pages:
        """Give the device pages of the host's memory, in an order that is not that of addresses."""
        assert self.reads is not None
        pages = Pages(self.root, size)
        places = self.reads.writable if written else self.reads.pages
        places += [(address, pages.page_bytes) for address in pages.addresses]
        return pages

    def pause(self, seed: int) -> None:
        """Stall all streams at random from now on."""
        streams = [self.block.cq_source, self.block.cc_sink]
        if self.reads:
            streams += [self.block.rc_source, self.block.rq_sink]
        for number, stream in enumerate(streams):
            rng = random.Random(f"{seed}/{number}")
            stream.set_pause_generator(rng.random() < 0.5 for _ in itertools.count())

    async def _answer(self, tlp) -> None:
        """Answer a read of the host's memory, well or as `spoilt` says."""
        how = self.spoilt.pop(0) if self.spoilt else "well"
        computer = PcieId(0, 0, 0)
        if how == "well":
            await self.root.handle_mem_read_tlp(tlp)
        elif how == "unsupported":
            await self.root.send(Tlp.create_ur_completion_for_tlp(tlp, computer))
        elif how == "poisoned":
            answer = Tlp.create_completion_data_for_tlp(tlp, computer)
            answer.ep, answer.byte_count = True, 4 * tlp.length
            answer.lower_address = tlp.address & 0x7F
            answer.set_data(bytes(min(4 * tlp.length, 128)))
            await self.root.send(answer)
        else:
            assert how == "lost"

    async def _watch(self) -> None:
        dut, words, enables = self.dut, [], 0
        cq, cc = (
            {name: getattr(dut, f"{prefix}_t{name}") for name in names}
            for prefix, names in (
                ("m_axis_cq", ("valid", "ready", "data", "keep", "last", "user")),
                ("s_axis_cc", ("valid", "ready", "data", "keep", "last")),
            )
        )
        edge = RisingEdge(dut.clk)
        while True:
            await edge
            if int(dut.rst.value):
                continue
            if int(cq["valid"].value) and int(cq["ready"].value):
                user = int(cq["user"].value)
                if not words:
                    last = user >> 8 if self.width == 512 else user >> 4
                    enables = user & 15, last & 15
                data, count = int(cq["data"].value), int(cq["keep"].value).bit_length()
                words += [data >> 32 * n & 0xFFFFFFFF for n in range(count)]
                if int(cq["last"].value):
                    self.rules.request(Packet(words[:4], *enables))
                    words = []
            valid = int(cc["valid"].value)
            if valid or self.rules.words or self.rules.offered:
                ready, *beat = (int(cc[name].value) for name in ("ready", "data", "keep", "last"))
                self.rules.clock(valid, ready, *beat)

    async def _watch_reads(self) -> None:
        """Show the rules each beat of RQ; a read is answered when the block says so."""
        dut, reads = self.dut, self.reads
        assert reads is not None
        rq, rc = (
            [getattr(dut, f"{prefix}_t{name}") for name in names]
            for prefix, names in (
                ("s_axis_rq", ("valid", "ready", "data", "keep", "last", "user")),
                ("m_axis_rc", ("valid", "ready", "last", "data")),
            )
        )
        edge, head, place = RisingEdge(dut.clk), 0, 0
        while True:
            await edge
            if int(dut.rst.value):
                continue
            valid, ready, last = (int(signal.value) for signal in rc[:3])
            if valid and ready:
                if place < 96:
                    head |= int(rc[3].value) << place
                    place += self.width
                if last:
                    self.come += 4 * (head >> 32 & 0x7FF)
                    if head >> 30 & 1:
                        reads.waiting.pop(head >> 64 & 0xFF, None)
                    head = place = 0
            if int(rq[0].value) or reads.words or reads.offered:
                reads.clock(*(int(signal.value) for signal in rq))


class Pages:
    """Pages of the host's memory, each somewhere else; see `sterna.device.lent.Lent`."""

    page_bytes = PAGE_BYTES

    def __init__(self, root: RootComplex, size: int) -> None:
        count = -(-size // PAGE_BYTES)
        found = [root.alloc_region(PAGE_BYTES) for _ in range(count)]
        random.Random(count).shuffle(found)
        self.addresses = [address for address, _ in found]
        self._memories = [memory for _, memory in found]

    def fill(self, data: bytes) -> None:
        """Write the pages."""
        for number, memory in enumerate(self._memories):
            part = data[number * PAGE_BYTES :][:PAGE_BYTES]
            memory[: len(part)] = part

    def take(self, place: int) -> int:
        """Return the eight bytes at a place, and leave zeros."""
        page, at = divmod(8 * place, PAGE_BYTES)
        memory = self._memories[page]
        entry = int.from_bytes(memory[at : at + 8], "little")
        memory[at : at + 8] = bytes(8)
        return entry


def seed() -> int:
    """The seed of the test run."""
    return int(os.environ["STERNA_SEED"])
