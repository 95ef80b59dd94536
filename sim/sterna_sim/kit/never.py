"""Prove that an output is never 1: from reset values, for all inputs, for all time.

Yosys makes an and-inverter graph; ABC, which is in Yosys, merges what is equal by induction (scorr)
and searches the rest with property directed reachability (pdr). Unlike an induction of a few clocks
this needs no invariants from the unit.
"""

from __future__ import annotations

import enum
import hashlib
import resource
import signal
import subprocess
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from ..tools import BUILD, tool_environment

__all__ = ["LIMIT", "Answer", "is_never", "prove_never", "yosys"]

LIMIT = 20
"""Seconds of processor time for one proof."""


class Answer(enum.Enum):
    """How a proof ended."""

    PROVEN = "proven"
    FALSE = "false"
    UNKNOWN = "not decided in time"


# What ABC leaves is no netlist for Yosys, which ends with an error then. Its files have the answer.
_PROVE = """
proc
flatten
memory_collect
memory_map
opt
setundef -zero
opt
dffunmap
alumacc t:$mul t:$neg
maccmap t:$macc t:$macc_v2
techmap t:$shift t:$shiftx t:$shl t:$shr t:$sshl t:$sshr t:$fa t:$alu t:$lcu
simplemap
aigmap
write_aiger -zinit never.aig
design -reset
read_verilog nothing.v
simplemap
abc -script prove.abc
"""
_ABC = "read_aiger never.aig; strash; scorr; write_blif merged.blif; pdr -L pdr.log\n"
_NOTHING = "module nothing(input a, b, output y); assign y = a & b; endmodule\n"


def yosys(script: str, folder: Path, limit: int | None = None) -> None:
    """Run a script of Yosys in a folder.

    Raises
    ------
    RuntimeError
        If Yosys fails.
    TimeoutError
        If it takes more than `limit` seconds of processor time.
    """
    (folder / "script.ys").write_text(script)

    def limited() -> None:
        assert limit is not None
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))

    done = subprocess.run(
        ["yosys", "-s", "script.ys"],
        cwd=folder,
        env=tool_environment(),
        capture_output=True,
        text=True,
        preexec_fn=limited if limit else None,
        check=False,
    )
    if done.returncode == -signal.SIGXCPU:
        raise TimeoutError
    if done.returncode:
        raise RuntimeError(f"Yosys failed in {folder}:\n{(done.stdout + done.stderr)[-3000:]}")


def is_never(folder: Path, script: str, limit: int = LIMIT) -> Answer:
    """Prove it of what a script of Yosys makes.

    Parameters
    ----------
    folder : Path
        Where to work.
    script : str
        Reads a design whose top module has one output.
    limit : int
        Seconds of processor time.
    """
    (folder / "nothing.v").write_text(_NOTHING)
    (folder / "prove.abc").write_text(_ABC)
    merged, log = folder / "merged.blif", folder / "pdr.log"
    for answer in (merged, log):
        answer.unlink(missing_ok=True)
    try:
        yosys(script + _PROVE, folder, limit)
    except TimeoutError:
        return Answer.UNKNOWN
    except RuntimeError:
        if not merged.exists():
            raise
    if merged.read_text().rstrip().endswith(".names po0\n 0\n.end"):
        return Answer.PROVEN
    word = log.read_text().split()[0] if log.exists() else ""
    return {"snl_UNSAT": Answer.PROVEN, "snl_SAT": Answer.FALSE}.get(word, Answer.UNKNOWN)


def prove_never(unit: wiring.Component, limit: int = LIMIT) -> Answer:
    """Prove it of a component's only output.

    Parameters
    ----------
    unit : wiring.Component
        Its inputs may be anything on every clock, its reset too.
    limit : int
        Seconds of processor time.
    """
    text = rtlil.convert(unit, name="top", emit_src=False)
    folder = BUILD / "never" / hashlib.sha256(f"{_PROVE}{_ABC}{text}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unit.il").write_text(text)
    return is_never(folder, "read_rtlil unit.il\nhierarchy -top top", limit)
