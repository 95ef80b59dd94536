"""cocotb tests: cocotbext-axi's AXI4-Lite master on the chip's registers."""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from sterna.spec.pcie import FRESH, HELD, LINK
from sterna.spec.registers import MAGIC, REGISTERS, WAIT_CLOCKS
from tests.pcie.tops import ANSWER

OFFSET = {name: 4 * register.address for name, register in REGISTERS.items()}


async def start(dut, pauses):
    """Clock, reset, and a master that may pause on every channel."""
    cocotb.start_soon(Clock(dut.aclk, 4, unit="ns").start())
    dut.aresetn.value = 0
    master = AxiLiteMaster(
        AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, dut.aresetn, reset_active_level=False
    )
    await ClockCycles(dut.aclk, 4)
    dut.aresetn.value = 1
    await RisingEdge(dut.aclk)
    if pauses:
        rng = random.Random(os.environ["STERNA_SEED"])
        for channel in (
            master.write_if.aw_channel,
            master.write_if.w_channel,
            master.write_if.b_channel,
            master.read_if.ar_channel,
            master.read_if.r_channel,
        ):
            channel.set_pause_generator(rng.random() < 0.5 for _ in iter(int, 1))
    return master


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pauses=[False, True])
async def registers(dut, pauses):
    """Words, bytes, refusals, and reads and writes at the same time."""
    master = await start(dut, pauses)
    rng = random.Random(os.environ["STERNA_SEED"])

    async def read(address):
        answer = await master.read(address, 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def write(address, word):
        answer = await master.write(address, word.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY

    assert await read(OFFSET["MAGIC"]) == MAGIC
    assert await read(LINK) == HELD | FRESH
    await write(OFFSET["SEED_LOW"], 5)  # closed after a reset
    assert await read(OFFSET["SEED_LOW"]) == 0
    await write(LINK, 0)
    assert await read(OFFSET["DATA"]) == ANSWER

    word = bytes(4)
    for first in range(4):
        for count in range(1, 5 - first):
            part = rng.randbytes(count)
            await master.write(OFFSET["SEED_LOW"] + first, part)
            word = word[:first] + part + word[first + count :]
            assert await read(OFFSET["SEED_LOW"]) == int.from_bytes(word, "little")

    # No room: refused, and what follows is dropped until the host has looked.
    count = await read(LINK)
    for name in ("COUNT", "TOKEN", "SEED_HIGH"):
        await write(OFFSET[name], 77)
    await ClockCycles(dut.aclk, WAIT_CLOCKS)
    assert await read(LINK) == count + 1 | HELD
    assert await read(OFFSET["SEED_HIGH"]) == 0
    await write(LINK, 0)

    # Reads without end do not hold up writes, nor writes reads; each read gets its own word.
    done = False

    async def reads(name, expected):
        while not done:
            assert await read(OFFSET[name]) == expected

    async def writes():
        while not done:
            await write(OFFSET["SEED_HIGH"], 99)

    async def beside(others, some):
        nonlocal done
        done, tasks = False, [cocotb.start_soon(other) for other in others]
        for _ in range(30):
            await with_timeout(cocotb.start_soon(some()), 5, "us")
        done = True
        for task in tasks:
            await task

    low = int.from_bytes(word, "little")
    readers = [reads(*of) for of in (("SEED_LOW", low), ("COUNT", 77), ("MAGIC", MAGIC))]
    await beside(readers, lambda: write(OFFSET["SEED_HIGH"], 99))
    assert await read(OFFSET["SEED_HIGH"]) == 99
    await beside([writes() for _ in range(4)], lambda: read(OFFSET["SEED_LOW"]))
