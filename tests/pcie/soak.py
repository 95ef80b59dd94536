"""DmaTape compiled with a host around it that is as fast as it; see soak.cpp."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.dma import BUSY, TABLE, DmaError, DmaRegister
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.pcie.dma_reader import DmaReader
from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_sim.kit import to_verilog
from sterna_sim.kit.bench import default_seed
from sterna_sim.tools import BUILD, VERILATOR_MAKEFLAGS, compile_once
from tests.pcie.tops import tape_config

__all__ = ["Soaked", "build_soak", "soak"]

_PATIENCE = 3000
_DRIVER = Path(__file__).with_name("soak.cpp")
_VERILATOR = (
    "--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
    "-CFLAGS", "-O2 -std=c++17", *VERILATOR_MAKEFLAGS, "-MAKEFLAGS", "OPT_FAST=-O2",
    "-Wno-fatal", "-Wno-lint", "-Wno-style", "--prefix", "Vtop", "--top-module", "top",
    "-o", "soak",
)  # fmt: skip

Soaked = dict[str, int]
"""What came: bytes, clocks, reads, packets, those that overtook others, faults by their kind."""


class _Plain(Component):
    """DmaTape with plain ports, as far as a host needs them."""

    def __init__(self, width: int, reader: type[DmaReader]) -> None:
        self.width = width
        config = tape_config(width)
        self.tape = DmaTape(config, width)
        self.tape.reader = reader(width, _PATIENCE)
        super().__init__(
            {
                "request_valid": In(1), "request_ready": Out(1), "request_write": In(1),
                "request_address": In(8), "request_data": In(32),
                "answer_valid": Out(1), "answer_data": Out(32),
                "length": In(24), "space": In(range(config.ring_words + 1)), "restart": In(1),
                "word_valid": Out(1), "word_ready": In(1), "word_data": Out(width),
                "longest": In(3),
                "rq_valid": Out(1), "rq_ready": In(1), "rq_data": Out(width),
                "rq_keep": Out(width // 32), "rq_last": Out(1), "rq_bytes": Out(8),
                "rc_valid": In(1), "rc_data": In(width), "rc_keep": In(width // 32),
                "rc_last": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.tape = tape = self.tape
        nobody = stream.Signature(32).create()
        connect_stream(m, nobody, tape.i_answer)
        request, rq, rc = tape.i.payload, tape.rq, tape.rc
        m.d.comb += [
            tape.i.valid.eq(self.request_valid),
            self.request_ready.eq(tape.i.ready),
            request.write.eq(self.request_write),
            request.address.eq(self.request_address),
            request.data.eq(self.request_data),
            self.answer_valid.eq(tape.o.valid),
            self.answer_data.eq(tape.o.payload),
            tape.o.ready.eq(1),
            tape.length.eq(self.length),
            tape.space.eq(self.space),
            tape.restart.eq(self.restart),
            self.word_valid.eq(tape.o_word.valid),
            self.word_data.eq(tape.o_word.payload),
            tape.o_word.ready.eq(self.word_ready),
            tape.longest.eq(self.longest),
            self.rq_valid.eq(rq.valid),
            rq.ready.eq(self.rq_ready),
            self.rq_data.eq(rq.payload.data),
            self.rq_keep.eq(rq.payload.keep),
            self.rq_last.eq(rq.payload.last),
            self.rq_bytes.eq(Cat(rq.payload.user.first_bytes, rq.payload.user.last_bytes)),
            rc.valid.eq(self.rc_valid),
            rc.payload.data.eq(self.rc_data),
            rc.payload.keep.eq(self.rc_keep),
            rc.payload.last.eq(self.rc_last),
        ]
        return m


def build_soak(width: int, reader: type[DmaReader] = DmaReader) -> Path:
    """Compile the program, unless it has been."""
    unit = _Plain(width, reader)
    numbers = {
        "WIDTH": width, "PATIENCE": _PATIENCE, "PAGES": TABLE, "BUSY": f"{BUSY}u",
        "RING_WORDS": tape_config(width).ring_words, "ERRORS": (1 << len(DmaError)) - 1,
        "PAGES_REGISTER": int(DmaRegister.PAGES),
        **{error.name: 1 << error for error in DmaError},
        **{each.name: int(each) for each in DmaRegister if each is not DmaRegister.PAGES},
    }  # fmt: skip
    driver = "".join(f"#define {name} {value}\n" for name, value in numbers.items())
    driver += _DRIVER.read_text()
    text = to_verilog(unit)
    digest = hashlib.sha256("\0".join((text, driver, *_VERILATOR)).encode()).hexdigest()[:16]
    folder = BUILD / "soak" / digest

    def prepare(work: Path) -> list[str]:
        (work / "top.v").write_text(text)
        (work / "soak.cpp").write_text(driver)
        return [*_VERILATOR, "top.v", "soak.cpp"]

    return compile_once(folder, "soak", prepare)


def soak(program: Path, size: int, every: int) -> Soaked:
    """Let so many bytes of the tape come, with a fault among so many reads on average.

    Raises
    ------
    AssertionError
        If a word was lost, doubled or another one, a rule of requests was broken, or it hung.
    """
    began, seed = time.perf_counter(), default_seed()
    run = subprocess.run(
        [program, str(seed), str(size), str(every)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"seed {seed}: {run.stdout}{run.stderr}"
    print(f"seed {seed}: {run.stdout.strip()}; {time.perf_counter() - began:.1f} s")
    return {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", run.stdout)}
