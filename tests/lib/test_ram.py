"""Ram: a word can be read on the clock after its write; ECP5 block RAM with no logic around it."""

import random
import re
import subprocess

from amaranth.back import rtlil
from amaranth.sim import Simulator

from sterna_rtl.lib.ram import Ram
from sterna_sim.tools import tool_environment


def test_reads_what_was_written():
    words, rng = [None] * 5, random.Random(1)
    dut = Ram(len(words), 8)

    async def drive(ctx):
        for _ in range(300):
            write = rng.randrange(2)
            read_at, write_at = rng.sample(range(len(words)), 2)
            value = rng.randrange(256)
            ctx.set(dut.write.enable, write)
            ctx.set(dut.write.address, write_at)
            ctx.set(dut.write.data, value)
            ctx.set(dut.read.address, read_at)
            await ctx.tick()
            expected = words[read_at]
            words[write_at] = value if write else words[write_at]
            assert expected is None or ctx.get(dut.read.data) == expected

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()


def cells(ram, folder):
    (folder / "ram.il").write_text(rtlil.convert(ram, name="ram", emit_src=False))
    script = "read_rtlil ram.il; synth_ecp5 -top ram; tee -q -o cells.txt stat"
    subprocess.run(["yosys", "-q", "-p", script], cwd=folder, env=tool_environment(), check=True)
    text = (folder / "cells.txt").read_text()
    return {name: int(n) for n, name in re.findall(r"^ +(\d+) +([A-Z]\w+)$", text, re.M)}


def test_becomes_block_ram(tmp_path):
    assert cells(Ram(2048, 36), tmp_path) == {"DP16KD": 4}


def test_small_one_stays_out_of_block_ram(tmp_path):
    found = cells(Ram(64, 16), tmp_path)
    assert "DP16KD" not in found
    assert found["TRELLIS_DPR16X4"] == 4 * 64 // 16
