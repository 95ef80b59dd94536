"""cocotb tests: how fast a tape comes over the modelled link, and how fast anything could."""

from __future__ import annotations

import logging
import struct
from collections import deque

import cocotb
from cocotb.simtime import get_sim_time
from cocotb.triggers import ClockCycles, Timer
from cocotbext.axi import AxiStreamBus
from cocotbext.pcie.core.tlp import TlpType
from cocotbext.pcie.xilinx.us.interface import RcSink, RqSource, UsPcieFrame

from sterna.device.lent import table_writes
from sterna.spec.dma import BUSY, DmaRegister
from sterna.spec.pcie import LINK
from sterna.spec.registers import REGISTERS
from sterna_sim.pcie_card import LINKS
from tests.pcie.root_complex import Slot

LATENCY = 1.0
"""Microseconds from a read to the beginning of its answer, beside the link's own time."""

PAYLOAD = 1
"""Largest payload of the host: 128 bytes times two to its power."""

BYTES = 96 * 1024
PAGES = 16


def answer_late(root) -> None:
    """Let the host's memory take its time, for any number of reads at once."""

    async def later(tlp) -> None:
        await Timer(LATENCY, unit="us")
        await root.handle_mem_read_tlp(tlp)

    async def handler(tlp) -> None:
        cocotb.start_soon(later(tlp))

    for kind in (TlpType.MEM_READ, TlpType.MEM_READ_64):
        root.register_rx_tlp_handler(kind, handler)


async def tape(dut, slot, bar) -> float:
    """The chip's DMA, which gives the tape to a ring that always has room; return the seconds."""
    size = PAGES * 4096
    pages = slot.lend(size)
    data = b"".join(struct.pack("<I", n * 2654435761 & 0xFFFFFFFF) for n in range(size // 4))
    pages.fill(data)
    words = size // (slot.width // 8)
    count, mix, length = (
        4 * REGISTERS[name].address
        for name in ("COUNTER_TOKENS", "COUNTER_SEGMENTS", "TAPE_LENGTH")
    )
    await bar.write_dword(LINK, 0)
    for number, word in (*table_writes(pages, size), (DmaRegister.RUN, 1)):
        await bar.write_dword(4 * number, word)
    await bar.write_dword(length, words)
    seconds = await measure(dut, slot)
    await bar.write_dword(4 * DmaRegister.RUN, 0)
    while await bar.read_dword(4 * DmaRegister.STATUS) & BUSY:
        pass
    # All words so far, in their order.
    turned = 0
    for number in range(await bar.read_dword(count)):
        (word,) = struct.unpack_from("<I", data, number % words * slot.width // 8)
        turned = (turned << 1 | turned >> 31) & 0xFFFFFFFF ^ word
    assert await bar.read_dword(mix) == turned
    return seconds


async def anything(dut, slot) -> float:
    """Reads by hand, many at once, and a sink that is always ready; return the seconds."""
    source = RqSource(AxiStreamBus.from_prefix(dut, "s_axis_rq"), dut.clk, dut.rst)
    sink = RcSink(AxiStreamBus.from_prefix(dut, "m_axis_rc"), dut.clk, dut.rst)
    for part in (source, sink):
        part.log.setLevel(logging.ERROR)
    pages = slot.lend(PAGES * 4096)

    async def ask() -> None:
        free, asked = deque(range(128)), 0
        while True:
            while free:
                at = asked % (PAGES * 4096)
                address = pages.addresses[at // 4096] + at % 4096
                frame = UsPcieFrame()
                frame.data = [address & 0xFFFFFFFF, address >> 32, 128, free.popleft()]
                frame.first_be = frame.last_be = 15
                frame.update_parity()
                await source.send(frame)
                asked += 512
            answer = await sink.recv()
            if answer.data[0] >> 30 & 1:
                free.append(answer.data[2] & 0xFF)

    cocotb.start_soon(ask())
    return await measure(dut, slot)


async def measure(dut, slot) -> float:
    """Seconds for `BYTES` bytes once all is in full swing."""
    while slot.come < BYTES // 2:
        await ClockCycles(dut.clk, 1)
    began, before = get_sim_time("ns"), slot.come
    while slot.come - before < BYTES:
        await ClockCycles(dut.clk, 1)
    return (get_sim_time("ns") - began) * 1e-9 * BYTES / (slot.come - before)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def bandwidth(dut) -> None:
    """Measure one of the two, and note what the link was like."""
    slot = Slot(dut)
    slot.root.max_payload_size = PAYLOAD
    bar = await slot.plug_in()
    answer_late(slot.root)
    by_hand = hasattr(dut, "by_hand")
    seconds = await (anything(dut, slot) if by_hand else tape(dut, slot, bar))
    if slot.reads and not by_hand:
        slot.reads.end()
    generation, lanes, _ = LINKS[slot.width]
    payload = 128 << slot.block.functions[0].pcie_cap.max_payload_size
    boundary = 128 if slot.root.read_completion_boundary else 64
    print(
        f"generation {generation}, {lanes} lanes, beats of {slot.width} bits, {LATENCY} us, "
        f"payload {payload}, boundary {boundary}"
    )
    print(f"rate {BYTES / seconds:.0f}")
