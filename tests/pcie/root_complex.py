"""Inside the simulator: a root complex, the block's model, and the chip between its streams."""

from __future__ import annotations

import itertools
import logging
import os
import random

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiStreamBus
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.xilinx.us import UltraScalePlusPcieDevice

from sterna.spec.pcie import BAR_BYTES, DEVICE, VENDOR
from tests.pcie.rules import CompletionRules, Packet

__all__ = ["LINKS", "Slot"]

LINKS = {64: (3, 1, 125e6), 128: (3, 4, 250e6), 256: (3, 8, 250e6), 512: (3, 16, 250e6)}
"""Generation, lanes and user clock at which the block has beats of so many bits."""


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
        )
        # The root complex warns of each place on its bus where there is nothing.
        for part in (self.root, self.block, self.block.cq_source, self.block.cc_sink):
            part.log.setLevel(logging.ERROR)
        function = self.block.functions[0]
        function.vendor_id, function.device_id = VENDOR, DEVICE
        function.configure_bar(0, BAR_BYTES)
        self.root.make_port().connect(self.block)
        self.rules = CompletionRules(self.width)
        cocotb.start_soon(self._watch())

    async def plug_in(self):
        """Let the host find the device and map its BAR; return the BAR."""
        await self.root.enumerate()
        device = self.root.find_device(self.block.functions[0].pcie_id)
        await device.enable_device()
        await device.set_master()
        assert (device.vendor_id, device.device_id) == (VENDOR, DEVICE)
        assert device.bar_size[0] == BAR_BYTES
        return device.bar_window[0]

    def pause(self, seed: int) -> None:
        """Stall both streams at random from now on."""
        for number, stream in enumerate((self.block.cq_source, self.block.cc_sink)):
            rng = random.Random(f"{seed}/{number}")
            stream.set_pause_generator(rng.random() < 0.5 for _ in itertools.count())

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


def seed() -> int:
    """The seed of the test run."""
    return int(os.environ["STERNA_SEED"])
