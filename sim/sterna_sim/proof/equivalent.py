"""Prove that a mutant does the same as its unit.

Both stand side by side on the same inputs, and no output may ever differ (a payload counts while
it is valid).
"""

from __future__ import annotations

from ..kit.never import Answer, is_never
from ..kit.ports import Ports
from .mutants import Netlist

__all__ = ["is_equivalent"]

_SCRIPT = """
read_rtlil ../flat.il
rename top gold
copy gold gate
{mutation}
read_verilog miter.v
hierarchy -top miter
"""


def is_equivalent(netlist: Netlist, ports: Ports, mutant: int) -> bool:
    """Return whether a mutant is proven to do what the unit does.

    Parameters
    ----------
    netlist : Netlist
        The unit's.
    ports : Ports
        The unit's ports.
    mutant : int
        From 1.
    """
    folder = netlist.folder / f"mutant{mutant}"
    folder.mkdir(exist_ok=True)
    listed = (netlist.folder / "mutants.txt").read_text().splitlines()[mutant - 1]
    mutation = listed.split(" -ctrl ")[0].replace("-module top", "-module gate")
    (folder / "miter.v").write_text(_miter(ports, (netlist.folder / "flat.il").read_text()))
    return is_never(folder, _SCRIPT.format(mutation=mutation)) is Answer.PROVEN


def _miter(ports: Ports, flat: str) -> str:
    """Return the unit and the mutant on the same inputs, and whether anything differs."""
    widths = {name: len(signal) for name, signal in ports.signals.items() if len(signal)}
    inputs = {name: width for name, width in widths.items() if name in ports.driven}
    inputs |= {name: 1 for name in ("clk", "rst") if f" \\{name}\n" in flat}
    outputs = {name: width for name, width in widths.items() if name not in ports.driven}
    lines = [f"module miter({', '.join([*inputs, 'bad'])});", "output bad;"]
    lines += [f"input [{width - 1}:0] {name};" for name, width in inputs.items()]
    for unit in ("gold", "gate"):
        lines += [f"wire [{width - 1}:0] {unit}_{name};" for name, width in outputs.items()]
        pins = [f".{name}({name})" for name in inputs]
        pins += [f".{name}({unit}_{name})" for name in outputs]
        lines.append(f"{unit} {unit}({', '.join(pins)});")
    differs = []
    for name in outputs:
        valid = f"{name.removesuffix('__payload')}__valid"
        counts = f"gold_{valid} & " if name.endswith("__payload") and valid in outputs else ""
        differs.append(f"({counts}(gold_{name} != gate_{name}))")
    return "\n".join([*lines, f"assign bad = {' | '.join(differs)};", "endmodule", ""])
