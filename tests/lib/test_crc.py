"""CRC-32: the register after any bytes, as zlib has it."""

import zlib

import numpy as np
import pytest
from amaranth import *
from amaranth.sim import Simulator

from sterna_rtl.lib.crc import CRC_INIT, CRC_RESIDUE, crc32


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_crc(count):
    """Message, checksum, residue."""
    message = np.random.default_rng(count).bytes(count)
    register, byte = Signal(32, init=CRC_INIT), Signal(8)
    m = Module()
    m.d.sync += register.eq(crc32(register, byte))

    async def bench(ctx):
        async def feed(data):
            for value in data:
                ctx.set(byte, value)
                await ctx.tick()

        await feed(message)
        checksum = ctx.get(register) ^ 0xFFFFFFFF
        assert checksum == zlib.crc32(message)
        await feed(checksum.to_bytes(4, "little"))
        assert ctx.get(register) == CRC_RESIDUE

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
