"""nextpnr's router, which takes late ways up again, and is ended where it comes no further."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sterna_sim.tools import failure, tool_environment

__all__ = ["NotRoutedError", "route"]

OPTIONS = ["--no-pack", "--no-place", "--json", "refined.json", "--tmg-ripup"]
"""The last one lets the router take up again what misses the clock, until nothing does. By itself
it is content with any ways of which no two share a wire."""

SETTINGS = {"router": "router2", "router2/currCongWeightMult": "0.5"}
"""Wires that are wanted twice cost more with each iteration, here a quarter of what router2 does by
itself: it took so much in the end that what is late was led around them, and stayed late."""

MARGINS = 1.02, 1.04, 1.06
"""Clocks for the router, as multiples of the one asked for, one after the other while what it ends
with is reported as slower than that: it counts less than the report does."""

LESS = 1.01, 1.0
"""Clocks that it is given where it comes no further at one of those."""

STUCK = 50
"""Iterations with as many late wires, after which there are no fewer in a thousand more."""

LONGEST = 500
"""Iterations after which a placement is given up anyway."""

_ITERATION = re.compile(r"iter=\d+ wires=\d+ overused=(\d+) overuse=\d+ tmgfail=(\d+)")


class NotRoutedError(Exception):
    """There are no ways for the wires of a placement, or none that are fast enough."""


def route(command: Sequence[str], folder: Path, design: dict[str, Any], clock_mhz: float) -> None:
    """Route a placed design; leave what `command` writes in its folder, and `refined.json`.

    It may be slower than the clock asked for, by the report.

    Parameters
    ----------
    command : sequence of str
        nextpnr and its options, of which the log is `nextpnr.log`.
    folder : Path
    design : dict
        A placed netlist as nextpnr writes it; its settings are changed.
    clock_mhz : float
        Clock of the whole chip.

    Raises
    ------
    NotRoutedError
        If the router gives up, or comes no further.
    SternaError
        If it fails otherwise.
    """
    for margin in MARGINS:
        if not _routed(command, folder, design, margin * clock_mhz):
            break
        report = json.loads((folder / "report.json").read_text())
        if min(clock["achieved"] for clock in report["fmax"].values()) >= clock_mhz:
            return
    else:
        return
    if not any(_routed(command, folder, design, margin * clock_mhz) for margin in LESS):
        raise NotRoutedError


def _routed(command: Sequence[str], folder: Path, design: dict[str, Any], mhz: float) -> bool:
    """Route for a clock; return whether the router came to an end."""
    # What a netlist says here goes before the command's options, and clocks made by a PLL are known
    # to the packer only.
    settings = SETTINGS | {"target_freq": f"{1e6 * mhz:f}"}
    design["modules"]["top"]["settings"] |= settings
    (folder / "refined.json").write_text(json.dumps(design))
    return _ends([*command, *OPTIONS], folder)


def _ends(command: list[str], folder: Path) -> bool:
    """Run the router; return whether it ended by itself."""
    log = folder / "nextpnr.log"
    log.unlink(missing_ok=True)  # that of the placer, or of the last time
    with subprocess.Popen(
        command, cwd=folder, env=tool_environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as router:  # fmt: skip
        try:
            while router.poll() is None:
                if log.exists() and is_stuck(log.read_text()):
                    return False
                with suppress(subprocess.TimeoutExpired):
                    router.wait(5)
        finally:
            router.kill()
    if router.returncode == 0:
        return True
    said = log.read_text() if log.exists() else ""
    # Another placement may have ways for all.
    if "Failed to route" in said:
        raise NotRoutedError
    raise failure(command, said, log)


def is_stuck(log: str) -> bool:
    """Whether a router that writes such a log comes no further."""
    iterations = _ITERATION.findall(log)
    last = iterations[-STUCK:]
    same = len(last) == STUCK and len(set(last)) == 1 and last[0] != ("0", "0")
    return same or len(iterations) > LONGEST
