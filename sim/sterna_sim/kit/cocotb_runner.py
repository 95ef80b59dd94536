"""Run a bench on the unit's Verilog in Verilator, through cocotb: same vectors, same stalls."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

from amaranth.back import verilog
from amaranth.lib import wiring

from ..tools import BUILD, VERILATOR_MAKEFLAGS, one_at_a_time, tool_environment
from .bench import UnitBench, explain, make_plan
from .player import CheckError, Plan, check_stalls, plan_size
from .ports import Ports

__all__ = ["build", "run_cocotb", "run_module", "to_verilog"]

_TOP = "top"
_FLAGS = (
    "-O1",
    "--no-timing",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    # cocotb makes all signals public; benches look at ports, and a chip compiles in half the time.
    "--no-public-flat-rw",
    "--public-depth",
    "1",
    *VERILATOR_MAKEFLAGS,
)


def to_verilog(unit: wiring.Component, name: str = _TOP) -> str:
    """Convert a unit; the same text on every machine and in every process."""
    with mock.patch.dict(os.environ, AMARANTH_USE_YOSYS="builtin"):
        return verilog.convert(unit, name=name, emit_src=False, strip_internal_attrs=True)


def build(text: str) -> Path:
    """Compile Verilog for cocotb, unless it has been; return the build folder."""
    digest = hashlib.sha256("\0".join((text, *_FLAGS)).encode()).hexdigest()[:16]
    folder = BUILD / "cocotb" / digest
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder / "lock"):
        if not (folder / "done").exists():
            source = folder / f"{_TOP}.v"
            source.write_text(text)
            log = folder / "build.log"
            try:
                with _tool_path(), _quiet():
                    _runner().build(
                        sources=[source],
                        hdl_toplevel=_TOP,
                        build_dir=folder,
                        build_args=list(_FLAGS),
                        always=True,
                        log_file=log,
                    )
            except RuntimeError as error:
                output = "\n".join(_lines(log)[-40:])
                raise RuntimeError(f"Verilator failed in {folder}:\n{output}") from error
            (folder / "done").touch()
    return folder


def run_cocotb(
    bench: UnitBench, config: str, *, dut: wiring.Component | None = None, seed: int | None = None
) -> dict[str, int]:
    """Play all cases of a configuration on Verilog; parameters and result as in `run_pysim`."""
    dut = bench.dut(bench.configs[config]) if dut is None else dut
    ports = Ports.of(dut)
    plan = make_plan(bench, config, ports, seed)
    started = time.perf_counter()
    folder = build(to_verilog(dut))
    built = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as run:
        counts = plan_size(plan)
        counts["clocks"] = _run(folder, Path(run), plan, ports)
    ended = time.perf_counter()
    print(
        f"cocotb {bench.name} {config} seed {plan.seed}: {counts}, "
        f"build {built - started:.1f} s, run {ended - built:.1f} s"
    )
    return counts


def _run(folder: Path, run: Path, plan: Plan, ports: Ports) -> int:
    (run / "plan.pickle").write_bytes(pickle.dumps(plan))
    environment = {"STERNA_PLAN": str(run / "plan.pickle"), "STERNA_OUTCOME": str(run / "outcome")}
    tests, failed, output = run_module(
        folder, run, "sterna_sim.kit.cocotb_module", environment, plan.seed
    )
    outcome = [json.loads(line) for line in _lines(run / "outcome")]
    for entry in outcome:
        if "text" in entry:
            raise explain(CheckError(entry["text"], **entry["where"]), ports)
    if failed or tests != len(plan.stalls) or len(outcome) != len(plan.stalls):
        raise AssertionError(
            f"{plan.bench} {plan.config}: {tests} of {len(plan.stalls)} cocotb tests ran, "
            f"{failed} failed\n{output}"
        )
    for entry in outcome:
        check_stalls(plan, plan.stalls[entry["index"]], entry["seen"])
    return sum(entry["clocks"] for entry in outcome)


def run_module(
    folder: Path, run: Path, module: str, environment: Mapping[str, str], seed: int
) -> tuple[int, int, str]:
    """Run a module of cocotb tests on what `build` made.

    Parameters
    ----------
    folder : Path
        The build folder.
    run : Path
        An empty folder to run in.
    module : str
        Name of the module.
    environment : dict
        What it gets, beside the environment that there is.
    seed : int
        Seed of cocotb's random numbers.

    Returns
    -------
    tests, failed : int
        Tests that ran, and those of them that failed.
    output : str
        The end of what they said.
    """
    # Under pytest the runner raises SystemExit when a test fails, elsewhere it says nothing: the
    # results file is read in both cases.
    with _tool_path(), _quiet(), contextlib.suppress(SystemExit):
        _runner().test(
            test_module=module,
            hdl_toplevel=_TOP,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=run,
            results_xml=str(run / "results.xml"),
            seed=seed,
            extra_env=dict(environment),
            log_file=run / "log",
        )
    return *_results(run / "results.xml"), "\n".join(_lines(run / "log")[-40:])


def _results(path: Path) -> tuple[int, int]:
    """Return the number of tests that ran and of those that failed; (0, 0) without a file."""
    if not path.exists():
        return 0, 0
    cases = list(ElementTree.parse(path).iter("testcase"))
    failed = [case for case in cases if any(part.tag in ("failure", "error") for part in case)]
    skipped = [case for case in cases if any(part.tag == "skipped" for part in case)]
    return len(cases) - len(skipped), len(failed)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _runner():
    from cocotb_tools.runner import get_runner

    return get_runner("verilator")


@contextlib.contextmanager
def _tool_path() -> Iterator[None]:
    with mock.patch.dict(os.environ, tool_environment()):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the runner's own messages away from the screen."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
