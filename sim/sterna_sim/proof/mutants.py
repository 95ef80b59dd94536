"""One netlist that holds many mutants of a unit, chosen by a number at an input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from ..kit.never import yosys
from ..tools import BUILD
from .machines import Machine, recorded

__all__ = ["CHOICE", "Netlist", "Site", "make_netlist"]

CHOICE = "mutant"
"""The input that chooses: 0 for the unit as it is."""


_LEFT_OUT = re.compile(r"-port (\S*CLK|Q) ")
"""Clocks are no logic of the unit, and a register's output has a first value, which would be lost;
what it drives is mutated instead."""

_PREPARE = """
read_rtlil gateware.il
hierarchy -top top
proc -noopt
pmuxtree
flatten
memory_collect
opt_clean -purge
write_rtlil flat.il
"""

_LIST = """
read_rtlil flat.il
mutate -list {count} -seed {seed} -o list.txt
"""

_FINISH = """
read_rtlil flat.il
script mutants.txt
cd top
{shown}
cd
opt_clean
write_rtlil unit.il
write_verilog -noattr unit.v
"""


@dataclass(frozen=True)
class Site:
    """What a mutant changes: one bit at one port of one cell of the unit's netlist.

    Attributes
    ----------
    text : str
        As Yosys lists it: inverted, constant, or inverted while another bit is 0 or 1.
    source : str
        File and line of the gateware, where Yosys knows them.
    """

    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.text} ({self.source})" if self.source else self.text


@dataclass(frozen=True)
class Netlist:
    """The netlist of a unit with its mutants.

    Attributes
    ----------
    folder : Path
        Where it lies: ``unit.v`` for simulation, ``unit.il`` for proofs.
    sites : tuple of Site
        Mutant n changes ``sites[n - 1]``.
    machines : dict
        State machines by the output that shows their register.
    inside : str
        As `make_netlist` was given it.
    """

    folder: Path
    sites: tuple[Site, ...]
    machines: dict[str, Machine]
    inside: str


def make_netlist(
    unit: wiring.Component, count: int, seed: int, inside: str = "", without: Sequence[str] = ()
) -> Netlist:
    """Draw mutants of a unit.

    Parameters
    ----------
    unit : wiring.Component
        The unit, not yet elaborated.
    count : int
        Mutants, fewer in a unit that has not so many. Yosys draws them evenly over modules, cells,
        wires and lines of source.
    seed : int
        What they are drawn by.
    inside : str
        Submodule in which they are drawn, where the unit stands in a bench's wrapper.
    without : sequence of str
        Submodules in which none is drawn, as they are judged by benches of their own.

    Returns
    -------
    Netlist
    """
    with recorded() as machines:
        text = rtlil.convert(unit, name="top")
    key = f"{_PREPARE}{_LIST}{_FINISH}{count}{seed}{inside}{without}{text}"
    folder = BUILD / "mutants" / hashlib.sha256(key.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "mutants.txt"
    if not (folder / "unit.v").exists():
        (folder / "gateware.il").write_text(text)
        yosys(_PREPARE, folder)
        _list(folder, (6 if inside else 3) * (4 if without else 1) * count, seed)
        here = re.compile(rf"-cell \S*\\{inside}\." if inside else "")
        there = re.compile(rf"(?:^|[.\\])({'|'.join(without) or '$'})(\$\d+)?\.")
        lines = (folder / "list.txt").read_text().splitlines()
        lines = [each for each in lines if here.search(each) and not _LEFT_OUT.search(each)]
        lines = [each for each in lines if not there.search(each.split(" -cell ")[1])]
        if not lines:
            raise ValueError(f"{type(unit).__name__} has nothing to mutate in {inside!r}")
        lines = lines[:count]
        width = len(lines).bit_length()
        listed.write_text(
            "\n".join(f"{line} -ctrl {CHOICE} {width} {n}" for n, line in enumerate(lines, 1))
        )
        flat = (folder / "flat.il").read_text()
        wires = [re.search(rf"wire .*\\(\S*{name})$", flat, re.M) for name in machines]
        shown = [
            (f"rename {wire[1]} {name}\n" if wire[1] != name else "") + f"expose w:{name}"
            for wire, name in zip(wires, machines, strict=True)
            if wire
        ]
        yosys(_FINISH.format(shown="\n".join(shown)), folder)
    return Netlist(folder, tuple(map(_site, listed.read_text().splitlines())), machines, inside)


def _list(folder: Path, count: int, seed: int) -> None:
    """List so many mutants, or fewer: Yosys never ends if a unit has not enough of them."""
    try:
        yosys(_LIST.format(count=count, seed=seed), folder, limit=20)
    except TimeoutError:
        _list(folder, count // 2, seed)


def _site(line: str) -> Site:
    """Read a line such as ``mutate -mode inv -cell $add$3 -port Y -portbit 2 ...``."""
    words = dict(re.findall(r"-(\w+) (\S+)", line))
    text = f"{words['mode']} {words['cell']} {words['port']}[{words['portbit']}]"
    if "ctrlbit" in words:
        text += f" by [{words['ctrlbit']}]"
    source = words.get("src", "").split("|")[0]
    place = re.search(r"(\w+\.py):(\d+)", source)
    return Site(text, f"{place[1]}:{place[2]}" if place else "")
