"""A chip as its netlist of ECP5 cells, in Verilog: what place and route gets, for the simulator.

Yosys' own models stand for tables, flip-flops, carry chains and LUTRAM. It has none for the hard
blocks: those in `ecp5_blocks.v` do what our netlists ask of them, and anything else is refused.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from amaranth import Elaboratable
from amaranth.back import rtlil

from sterna_rtl.family.ecp5 import ECP5
from sterna_sim import netlist as netlist_module
from sterna_sim.netlist import Netlist
from sterna_sim.pnr import SYNTHESIS, mapped
from sterna_sim.tools import run_tool

__all__ = ["gate_level", "sources"]

BLOCKS = Path(__file__).with_name("ecp5_blocks.v")

_NAMES = {"DP16KD": "block_ram", "MULT18X18D": "multiplier", "DCCA": "clock_buffer"}
_PIN = re.compile(r"([A-Z]+?)(\d+)")

_MODES = {
    "block_ram": {
        "CSDECODE_A": "0b000", "CSDECODE_B": "0b000", "CLKAMUX": "CLKA", "CLKBMUX": "CLKB",
        "WEB": ["0"], "RSTA": ["0"], "RSTB": ["0"],
        "CSA": ["0"] * 3, "CSB": ["0"] * 3,
    },
    "multiplier": {"SOURCEA": ["0"], "SOURCEB": ["0"], "CE": ["1"], "RST": ["0"]},
    "clock_buffer": {"CE": ["1"]},
}  # fmt: skip
"""What the models take for granted of parameters and pins, where a cell has them."""

SCRIPT = """
read_json gates.json
read_verilog -DNO_INCLUDES +/lattice/cells_sim_ecp5.v
read_verilog blocks.v
hierarchy -check -top chip
proc
flatten
opt_expr
opt_clean
write_verilog -noattr chip.v
"""


def sources() -> list[str]:
    """All text on which the netlist depends besides the gateware's."""
    files = Path(__file__), BLOCKS, Path(netlist_module.__file__)
    return [SYNTHESIS, *(path.read_text() for path in files)]


def gate_level(chip: Elaboratable, folder: Path) -> str:
    """Map a chip to cells and return them as the Verilog module `chip`, with the chip's ports.

    Parameters
    ----------
    chip : Elaboratable
        A component: its ports are those of its signature, and clock and reset.
    folder : Path
        For what is made on the way; `top.il` and `mapped.json` stay there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.il").write_text(rtlil.convert(chip, platform=ECP5, name="top", emit_src=False))
    design = mapped(folder)
    module = design["modules"]["top"]
    netlist = Netlist(module)
    for name, cell in netlist.cells.items():
        if cell["type"] in _NAMES:
            _simplify(name, cell, netlist)
        elif cell["connections"].get("COUT") == ["x"]:  # no output of Verilog goes there
            del cell["connections"]["COUT"]
    (folder / "gates.json").write_text(json.dumps({**design, "modules": {"chip": module}}))
    (folder / "blocks.v").write_text(BLOCKS.read_text())
    (folder / "gates.ys").write_text(SCRIPT)
    run_tool(["yosys", "-q", "-s", "gates.ys"], folder)
    return (folder / "chip.v").read_text()


def _simplify(name: str, cell: dict[str, Any], netlist: Netlist) -> None:
    """Join a block's pins to vectors, and refuse what its model does not do."""
    pins: dict[str, dict[int, Any]] = defaultdict(dict)
    directions = {}
    for pin, bits in cell["connections"].items():
        found = _PIN.fullmatch(pin)
        port, place = (found[1], int(found[2])) if found else (pin, 0)
        pins[port][place] = bits[0]
        directions[port] = cell["port_directions"][pin]
    values = {key: value.strip() for key, value in cell["parameters"].items()}
    cell["type"] = kind = _NAMES[cell["type"]]
    cell["port_directions"] = directions
    cell["connections"] = {
        port: [bits.get(place, "x") for place in range(1 + max(bits))]
        for port, bits in pins.items()
    }
    for key, expected in _MODES[kind].items():
        found = {**values, **cell["connections"]}.get(key, expected)
        if found != expected:
            raise ValueError(f"{name}: {key} is {found}, and the model knows {expected} alone")
    used = "REGMODE_A", "REGMODE_B", "REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK"
    cell["parameters"] = {key: values[key] for key in used if key in values}
    if kind == "block_ram":
        cell["parameters"] |= _ram(name, values, pins, netlist)


def _ram(
    name: str, values: dict[str, str], pins: dict[str, dict[int, Any]], netlist: Netlist
) -> dict[str, str]:
    """Return the model's parameters for a block RAM; refuse one with ports of two kinds."""
    width = int(values["DATA_WIDTH_B"], 2)
    if values["DATA_WIDTH_A"] != values["DATA_WIDTH_B"]:
        raise ValueError(f"{name} has ports of two widths, which the model does not have")
    if width < 36 and any(netlist.loads[bit] for bit in pins["DOA"].values()):
        raise ValueError(f"{name} is read at its port A, which the model does not do")
    # The enables of bytes that nobody reads are 0.
    if width >= 18 and {pins["ADA"][line] for line in range(width // 9)} - {pins["ADA"][0], "0"}:
        raise ValueError(f"{name} writes parts of words, which the model does not do")
    # Of 20 bits of a parameter 18 are a row.
    rows = []
    for slice_ in range(64):
        bits = values.get(f"INITVAL_{slice_:02X}", "").zfill(320).replace("x", "0")
        rows += [bits[320 - 20 * row - 18 : 320 - 20 * row] for row in range(16)]
    return {"WIDTH": f"{width:032b}", "INIT": "".join(reversed(rows))}
