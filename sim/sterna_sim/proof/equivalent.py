"""Prove that a mutant does the same as its unit.

Both stand side by side on the same inputs, and no output may ever differ where it counts (see
`counts_while`).
"""

from __future__ import annotations

import re

from ..kit.never import Answer, is_never, yosys
from ..kit.ports import counts_while
from .mutants import Netlist

__all__ = ["LIMIT", "is_equivalent"]

LIMIT = 5
"""Seconds of processor time for one proof: what is proven at all takes less than a second or two;
at 20 s hardly more was."""

_CUT = """
read_rtlil ../flat.il
select -set part {cells}
cd top
splitnets
submod -name gold @part
cd
delete top
write_rtlil part.il
"""

_NO_MEMORIES = " t:$mem_v2 %d"
"""Takes memories out of a selection."""

_MEMORY = re.compile(r"^  cell \$mem_v2 (\S+)$", re.M)

_SCRIPT = """
read_rtlil {file}
rename {module} gold
copy gold gate
{mutation}
read_verilog miter.v
hierarchy -top miter
chformal -remove
"""

_PORT = re.compile(
    r"^  wire (?:width (\d+) )?(?:offset \d+ )?(?:upto )?"
    r"(input|output) (\d+) (?:signed )?\\?(\S+)$",
    re.M,
)


def is_equivalent(netlist: Netlist, mutant: int, limit: int = LIMIT) -> bool:
    """Return whether a mutant is proven to do what the unit does.

    The logic from registers to registers in which it lies is tried first, then all that depends
    on it, then the submodules around it from the smallest on, whatever goes into them: what is
    equal there is equal in the unit. If one is not decided in time, neither is the mutant. Each is
    first tried without its memories, which may be more than can be decided: then what goes into
    these must be equal, and anything may come out.

    Parameters
    ----------
    netlist : Netlist
        The unit's.
    mutant : int
        From 1.
    limit : int
        Seconds of processor time for each proof.
    """
    folder = netlist.folder / f"mutant{mutant}"
    folder.mkdir(exist_ok=True)
    listed = (netlist.folder / "mutants.txt").read_text().splitlines()[mutant - 1]
    mutation = listed.split(" -ctrl ")[0].replace("-module top", "-module gate")
    cell = re.search(r"-cell (\S+)", mutation)
    assert cell is not None
    memories = set(_MEMORY.findall((netlist.folder / "flat.il").read_text()))
    apart = bool(memories) and cell[1] not in memories
    for cells in (*_parts(cell[1], apart), None):
        if cells is None:
            file, module, unit = folder / "../flat.il", "top", ""
        else:
            yosys(_CUT.format(cells=cells), folder)
            file, module = folder / "part.il", "gold"
            # Only the unit's own streams are known to be looked at no more than they promise.
            unit = f"{netlist.inside}." if cells == f"c:*{netlist.inside}.*" else None
        (folder / "miter.v").write_text(_miter(file.read_text(), unit))
        script = _SCRIPT.format(file=file.relative_to(folder), module=module, mutation=mutation)
        answer = is_never(folder, script.replace("rename gold gold\n", ""), limit)
        if answer is Answer.PROVEN:
            return True
        if answer is Answer.UNKNOWN and not (cells or "").endswith(_NO_MEMORIES):
            return False
    return False


def _parts(cell: str, memories: bool) -> list[str]:
    r"""Return patterns of cells around one: up to registers, all behind it, each submodule.

    With `memories` each submodule and the unit come without theirs first.

    A flat name is ``$flatten\unit.\jobs.$43`` or ``unit.jobs.rows``; of generated cells the last
    part may hold dots too.
    """
    path = cell.removeprefix("$flatten").split(".$")[0] if "$flatten" in cell else cell
    names = [name.lstrip("\\") for name in path.split(".")]
    names = names if "$flatten" in cell else names[:-1]
    cones = f"c:{cell} %coe* %cie*", f"c:{cell} %co*"
    units = [f"c:*{'.*'.join(names[:depth])}.*" for depth in range(len(names), 0, -1)]
    if memories:
        units = [part for unit in units for part in (unit + _NO_MEMORIES, unit)]
        units.append("c:*" + _NO_MEMORIES)
    return [*cones, *units]


def _miter(netlist: str, unit: str | None) -> str:
    """Return a module and its mutant on the same inputs, and whether anything differs.

    Parameters
    ----------
    netlist : str
        RTLIL; its ports are connected by their places, for some have no name in Verilog.
    unit : str or None
        What the names of streams begin with of which payloads count only while they are valid.
    """
    ports = sorted(
        (int(n), name, int(width or 1), kind) for width, kind, n, name in _PORT.findall(netlist)
    )
    if [n for n, *_ in ports] != list(range(1, len(ports) + 1)):
        raise ValueError("a port of the netlist was not understood")
    outputs = {name: n for n, name, _, kind in ports if kind == "output"}
    inputs = [f"i{n}" for n, _, _, kind in ports if kind == "input"]
    lines = [f"module miter({', '.join([*inputs, 'bad'])});", "output bad;"]
    for n, _, width, kind in ports:
        names = [f"i{n}"] if kind == "input" else [f"gold{n}", f"gate{n}"]
        lines.append(
            f"{'input' if kind == 'input' else 'wire'} [{width - 1}:0] {', '.join(names)};"
        )
    for which in ("gold", "gate"):
        pins = [f"i{n}" if kind == "input" else f"{which}{n}" for n, _, _, kind in ports]
        lines.append(f"{which} {which}({', '.join(pins)});")
    differs = []
    for name, n in outputs.items():
        whole = name.partition("[")[0]
        under = counts_while(whole, outputs) if unit is not None and name.startswith(unit) else None
        counts = "" if under is None else f"gold{outputs[under]} & "
        differs.append(f"assign differs[{len(differs)}] = {counts}(gold{n} != gate{n});")
    lines += [f"wire [{len(differs)}:0] differs;", *differs]
    lines += [f"assign differs[{len(differs)}] = 0;", "assign bad = |differs;", "endmodule", ""]
    return "\n".join(lines)
