"""Print how well the proofs hold: `make proof`."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import warnings
from collections.abc import Iterator

from sterna_sim.kit import UnitBench, check_planted_bug
from sterna_sim.kit.bench import default_seed
from sterna_sim.proof.score import Score
from tests.proof import suites
from tests.proof.semantic import SEMANTIC
from tests.proof.units import UNITS

WANTED = 0.95
"""Share of the relevant mutants that must be killed."""

COLUMNS = {
    "unit": 30,
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
    """Say how many of the planted bugs the bench finds."""
    return f"{sum(finds(bench, bug) for bug in bench.bugs)}/{len(bench.bugs)}"


def finds(bench: UnitBench, bug: str) -> bool:
    """Look for a planted bug; say so if it is not found."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check_planted_bug(bench, bug)
    except AssertionError as error:
        print(error)
        return False
    return True


def mistakes() -> Iterator[tuple[str, str, bool]]:
    """Look for each of the planted mistakes, by their kinds."""
    for kind, planted in SEMANTIC.items():
        found = [finds(bench(), bug) for bench, bug in planted]
        yield f"mistakes: {kind}", f"{sum(found)} of {len(found)} found", all(found)


def mutate(units: list[str], count: int, seed: int) -> Iterator[Score]:
    """Mutate units, print how their benches did."""
    known = {unit.name: unit for unit in UNITS}
    print(f"mutants of the gateware, seed {seed}\n{row(*COLUMNS)}", flush=True)
    for name in units or known:
        result = known[name].score(count, seed)
        counts = (result.mutants, result.killed, len(result.equivalent), len(result.survivors))
        unit = f"{result.bench} {result.config}"
        last = bugs(known[name].bench()), machines(result), f"{result.seconds:.0f}"
        print(row(unit, *counts, f"{result.share:.1%}", *last), flush=True)
        yield result


def summary(results: list[Score]) -> Iterator[tuple[str, str, bool]]:
    """Say what was shown of what, and whether it is enough."""
    relevant = sum(result.mutants - len(result.equivalent) for result in results)
    killed = sum(result.killed for result in results)
    share = killed / relevant
    yield f"mutants of {len(results)} units", f"{killed} of {relevant} killed", share >= WANTED
    reached = [machine for result in results for machine in result.machines]
    states = sum(machine.states for machine in reached)
    transitions = sum(machine.transitions for machine in reached)
    missed = sum(len(machine.missed_states) for machine in reached)
    missed_transitions = sum(len(machine.missed_transitions) for machine in reached)
    yield "their states", f"{states - missed} of {states}", not missed
    yield (
        "their transitions",
        f"{transitions - missed_transitions} of {transitions}",
        not missed_transitions,
    )


def main() -> int:
    """Mutate, prove, count, print; return 1 if anything is less than it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("units", nargs="*", help="names of benches; all by default")
    parser.add_argument("--mutants", type=int, default=50)
    parser.add_argument("--seed", type=int, default=default_seed())
    parser.add_argument("--only-mutants", action="store_true", help="nothing else")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* created but never used")
    known = [unit.name for unit in UNITS]
    for name in given.units:
        if name not in known:
            parser.error(f"no unit {name!r}; there are {', '.join(known)}")
    results = list(mutate(given.units, given.mutants, given.seed))
    for result in results:
        for line in misses(result):
            print(line)
    table = [*summary(results), *mistakes()]
    if not given.only_mutants:
        table += suites_summary()
    print()
    for what, found, enough in table:
        print(f"{what:<40} {found}{'' if enough else '  <-- not enough'}")
    return int(not all(enough for *_, enough in table))


def suites_summary() -> Iterator[tuple[str, str, bool]]:
    """Run the formal proofs and the host's tests; say how they ended and what lines they ran."""
    formal = suites.prove()
    yield "formal tests", _passed(formal), not formal.bad
    host, lines = suites.lines()
    yield "tests of the host package", _passed(host), not host.bad
    for folder in lines:
        share = f"{folder.run / max(folder.all, 1):.1%}"
        yield f"lines of {folder.folder}", f"{folder.run} of {folder.all} run, {share}", True


def _passed(suite: suites.Suite) -> str:
    good = suite.tests - suite.bad
    return f"{good} of {suite.tests} passed, {suite.seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
