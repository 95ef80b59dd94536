"""cocotb tests: a root complex finds the chip's registers and uses all of them, in all ways."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.pcie.core.tlp import CplStatus, TlpType
from cocotbext.pcie.xilinx.us.tlp import Tlp_us

from sterna.spec.pcie import FRESH, HELD, LINK
from sterna.spec.registers import CONFIG_REGISTERS, MAGIC, REGISTERS, WAIT_CLOCKS, Memory
from tests.pcie.root_complex import Slot, seed
from tests.pcie.tops import ANSWER, CLOCK_HZ, CONFIG

SETTINGS = [
    name
    for name, register in REGISTERS.items()
    if register.access == "rw" and name not in ("DATA", "MEMORY", "ADDRESS")
]
"""Registers that remember what is written."""

ODD = ("DATA", "MEMORY", "ADDRESS")
OFFSET = {name: 4 * register.address for name, register in REGISTERS.items()}


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(("pauses", [False, True]))
async def registers(dut, pauses: bool) -> None:
    """Enumeration, words, bytes, blocks, refusals and what is not supported."""
    rng = random.Random(f"{seed()}/{pauses}")
    slot = Slot(dut)
    bar = await slot.plug_in()
    if pauses:
        slot.pause(seed())

    # Closed after a reset: writes do nothing.
    assert await bar.read_dword(OFFSET["MAGIC"]) == MAGIC
    assert await bar.read_dword(LINK) == HELD | FRESH
    await bar.write_dword(OFFSET["SEED_LOW"], 5)
    assert await bar.read_dword(OFFSET["SEED_LOW"]) == 0
    await bar.write_dword(LINK, 0)
    assert await bar.read_dword(LINK) == 0

    # Every register by 32-bit accesses.
    await constants(bar)
    writes, known = 0, {}
    for name in SETTINGS:
        await bar.write_dword(OFFSET[name], 0xFFFFFFFF)
        mask = await bar.read_dword(OFFSET[name])
        word = rng.getrandbits(32)
        await bar.write_dword(OFFSET[name], word)
        known[name] = word & mask
        assert await bar.read_dword(OFFSET[name]) == known[name], name
        writes += 2
    assert {name for name in SETTINGS if known[name]} >= {"SEED_LOW", "SEED_HIGH", "COUNT"}
    assert await bar.read_dword(OFFSET["DATA"]) == ANSWER
    await bar.write_dword(OFFSET["DATA"], 3)
    await bar.write_dword(OFFSET["MEMORY"], 4)
    assert await bar.read_dword(OFFSET["MEMORY"]) == 4
    assert await bar.read_dword(LINK) == writes + 2
    assert await bar.read_dword(LINK + 4) == 0

    # Bytes of a word, every span of them; a read of none.
    word = known["SEED_LOW"].to_bytes(4, "little")
    for first in range(4):
        for count in range(1, 5 - first):
            part = rng.randbytes(count)
            await bar.write(OFFSET["SEED_LOW"] + first, part)
            word = word[:first] + part + word[first + count :]
            assert await bar.read(OFFSET["SEED_LOW"], 4) == word
            assert await bar.read(OFFSET["SEED_LOW"] + first, count) == part
    assert await bar.read(OFFSET["SEED_LOW"], 0) == b""
    known["SEED_LOW"] = int.from_bytes(word, "little")

    # Blocks: writes over several registers, and the whole BAR in completions of 128 bytes.
    low, high = rng.getrandbits(32), rng.getrandbits(32)
    await bar.write_dwords(OFFSET["SEED_LOW"], [low, high])
    known |= {"SEED_LOW": low, "SEED_HIGH": high}
    packets = slot.rules.packets
    before = await bar.read(0, OFFSET["DATA"])
    after = await bar.read(OFFSET["DATA"] + 4, 4096 - OFFSET["DATA"] - 4)
    assert slot.rules.packets - packets >= 32
    whole = before + ANSWER.to_bytes(4, "little") + after
    for name, value in known.items():
        at = OFFSET[name]
        assert whole[at : at + 4] == value.to_bytes(4, "little"), name

    # No room: the chip waits, then the write is refused and those behind it are dropped.
    count = await bar.read_dword(LINK)
    for name in ("COUNT", "TOKEN", "SEED_LOW"):
        await bar.write_dword(OFFSET[name], 77)
    await ClockCycles(dut.clk, WAIT_CLOCKS)
    assert await bar.read_dword(LINK) == count + 1 | HELD
    assert await bar.read_dword(OFFSET["SEED_LOW"]) == low
    await bar.write_dword(LINK, 0)
    await bar.write_dword(OFFSET["SEED_LOW"], 78)
    assert await bar.read_dword(OFFSET["SEED_LOW"]) == 78

    # What is not supported is answered so, and the next read is as before. The model's computer
    # can't send such requests: they are put where the block has what it received.
    for kind, data, number in (
        (TlpType.MEM_READ_LOCKED, 0, 0),
        (TlpType.FETCH_ADD, 4, 0),
        (TlpType.CAS, 8, 0),
        (TlpType.MEM_READ, 0, 2),
        (TlpType.IO_WRITE, 4, 0),
    ):
        request = Tlp_us()
        request.fmt_type = kind
        request.requester_id = slot.root.pcie_id
        request.completer_id = slot.block.functions[0].pcie_id
        request.bar_id = number
        if data:
            request.set_addr_be_data(OFFSET["SEED_LOW"], bytes(data))
        else:
            request.set_addr_be(OFFSET["SEED_LOW"], 4)
        request.tag = await slot.root.alloc_tag()
        slot.block.cq_queue.put_nowait(request)
        completion = await slot.root.recv_cpl(request.tag, 100, "us")
        slot.root.release_tag(request.tag)
        assert completion.status == CplStatus.UR, kind
        assert await bar.read_dword(OFFSET["SEED_LOW"]) == 78

    # Many at a time, from several programs.
    async def reads(name):
        for _ in range(8):
            assert (
                await bar.read_dword(OFFSET[name]) == {**known, "SEED_LOW": 78, "COUNT": 77}[name]
            )

    for task in [cocotb.start_soon(reads(name)) for name in ("SEED_LOW", "SEED_HIGH", "COUNT")]:
        await task
    # A chip that does not answer is reset, and the read is answered all the same.
    if not pauses:
        count = await bar.read_dword(LINK)
        await bar.write_dword(OFFSET["MEMORY"], Memory.STREAM)
        assert await bar.read_dword(OFFSET["DATA"]) == 0
        assert await bar.read_dword(LINK) == count + 1 | HELD | FRESH
        assert await bar.read_dwords(OFFSET["SEED_LOW"], 2) == [0, 0]
    slot.rules.end()
    print(f"{slot.width} bits: {slot.rules.packets} completions, no rule broken")


async def constants(bar) -> None:
    """What a chip says of itself."""
    for name, field in CONFIG_REGISTERS.items():
        assert await bar.read_dword(OFFSET[name]) == int(getattr(CONFIG, field)), name
    digest = await bar.read_dwords(OFFSET["DIGEST_LOW"], 2)
    assert f"{digest[1] << 32 | digest[0]:016x}" == CONFIG.digest
    assert await bar.read_dword(OFFSET["CLOCK_HZ"]) == CLOCK_HZ
    for name, register in REGISTERS.items():
        if register.access == "w":
            assert await bar.read_dword(OFFSET[name]) == 0, name
