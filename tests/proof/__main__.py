"""Print how well the proofs hold: `make proof`."""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator

from sterna_sim.kit import UnitBench, check_planted_bug
from sterna_sim.kit.bench import default_seed
from sterna_sim.proof.score import Score, score
from tests.proof.units import UNITS, config_of

WANTED = 0.95
"""Share of the relevant mutants that must be killed."""

FORMAL = (
    "test_contract or test_bypass_contract or test_lockups or test_hostile or test_reservation"
    " or test_proven_equal or test_sums_for_all_inputs"
)
"""Tests that prove something, by their names."""

COLUMNS = {
    "unit": 22,
    "mutants": 7,
    "killed": 6,
    "equivalent": 10,
    "survived": 8,
    "share": 6,
    "bugs": 5,
    "machine: states, transitions": 42,
    "s": 4,
}
"""The table's columns and their widths."""


def row(*cells: object) -> str:
    """Return a row of the table."""
    texts = [f"{cell:<{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True)]
    return " ".join(texts).rstrip()


def machines(result: Score) -> str:
    """Say what the bench reached of each state machine."""
    return "; ".join(
        f"{m.name} {m.states - len(m.missed_states)}/{m.states}, "
        f"{m.transitions - len(m.missed_transitions)}/{m.transitions}"
        for m in result.machines
    )


def misses(result: Score) -> Iterator[str]:
    """Say what the bench did not see."""
    for site in result.survivors:
        yield f"{result.bench}: survivor {site}"
    for machine in result.machines:
        for missed in (*machine.missed_states, *machine.missed_transitions):
            yield f"{result.bench}: {machine.name} never reached {missed}"


def bugs(bench: UnitBench) -> str:
    """Look for each planted bug; each must be found."""
    for bug in bench.bugs:
        with contextlib.redirect_stdout(io.StringIO()):
            check_planted_bug(bench, bug)
    return f"{len(bench.bugs)}/{len(bench.bugs)}"


def main() -> int:
    """Mutate, prove, print; return 1 if too many mutants survive or a proof fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("units", nargs="*", help="names of benches; all by default")
    parser.add_argument("--mutants", type=int, default=50)
    parser.add_argument("--seed", type=int, default=default_seed())
    parser.add_argument("--no-formal", action="store_true")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* created but never used")
    known = {bench.name: bench for bench in UNITS}
    for name in given.units:
        if name not in known:
            parser.error(f"no unit {name!r}; there are {', '.join(known)}")
    print(f"mutants of the gateware, seed {given.seed}\n{row(*COLUMNS)}", flush=True)
    results = []
    for name in given.units or known:
        bench = known[name]()
        result = score(bench, config_of(bench), given.mutants, given.seed)
        results.append(result)
        counts = (result.mutants, result.killed, len(result.equivalent), len(result.survivors))
        share = f"{result.share:.1%}"
        unit = f"{result.bench} {result.config}"
        found, reached = bugs(bench), machines(result)
        print(row(unit, *counts, share, found, reached, f"{result.seconds:.0f}"), flush=True)
    for result in results:
        for line in misses(result):
            print(line)
    relevant = sum(result.mutants - len(result.equivalent) for result in results)
    share = sum(result.killed for result in results) / relevant
    print(f"{share:.1%} of {relevant} relevant mutants killed, at least {WANTED:.0%} wanted")
    return int(share < WANTED) or (0 if given.no_formal else prove())


def prove() -> int:
    """Run the formal tests."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-k", FORMAL]
    status = subprocess.run(command, check=False).returncode
    print(f"formal: exit status {status} after {time.perf_counter() - started:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
