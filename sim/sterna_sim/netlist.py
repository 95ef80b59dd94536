"""Netlists of ECP5 cells: registers into multipliers and block RAMs, carry chains without ends.

Yosys leaves the registers that the hard blocks have unused. A flip-flop behind an output (or before
an input) of such a block does the same inside it: that saves the flip-flop and the wires to it,
and the block's own delay ends at a register.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["KEPT_FREE", "Bit", "Load", "Netlist"]

Cell = dict[str, Any]
Bit = int | str
"""A net, or a constant."""
Load = tuple[str, str]
"""Cell and port; an output of the module has no cell."""
Control = tuple[Bit, Bit, Bit]
"""Clock, enable and reset."""

KEPT_FREE = "kept_free_"
"""Beginning of the names of tables that keep others away."""


class Netlist:
    """A flat module of a netlist in Yosys' JSON, to be changed in place.

    Parameters
    ----------
    module : dict

    Attributes
    ----------
    cells, nets : dict
        Of the module.
    driver, loads : dict
        The cell that drives each net, none for constants, and the ports that each goes to.
    """

    def __init__(self, module: dict[str, Any]) -> None:
        self.cells: dict[str, Cell] = module["cells"]
        self.nets: dict[str, Any] = module["netnames"]
        self.loads: dict[Bit, list[Load]] = defaultdict(list)
        self.driver: dict[Bit, str] = {}
        for name, port in module["ports"].items():
            for bit in port["bits"]:
                self.loads[bit].append(("", name))
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][port] == "output":
                        if isinstance(bit, int):
                            self.driver[bit] = name
                    else:
                        self.loads[bit].append((name, port))

    def end_carries(self) -> int:
        """Disconnect carries that go nowhere or are of no account; return how many.

        Each would take two cells, to lead it out of its chain or a constant into it.
        """
        count = 0
        for cell in self.cells.values():
            if cell["type"] != "CCU2C":
                continue
            pins = cell["connections"]
            if not self.loads[pins["COUT"][0]]:
                pins["COUT"] = ["x"]
                count += 1
            if pins["CIN"] == ["0"] and not self.loads[pins["S0"][0]] and _cuts_carry(cell):
                pins["CIN"] = ["x"]
                count += 1
        return count

    def absorb_registers(self) -> int:
        """Let block RAMs take in output registers, multipliers both; return how many flip-flops."""
        before = len(self.cells)
        for name, cell in list(self.cells.items()):
            if cell["type"] == "DP16KD":
                for side in "AB":
                    self._ram_output(name, side)
            elif cell["type"] == "MULT18X18D":
                self._multiplier(name)
        return before - len(self.cells)

    def registers(self, net: str) -> list[str]:
        """Return the name of the flip-flop behind each bit of the net whose path ends with `net`.

        Raises
        ------
        ValueError
            If there is no such net, or one of its bits comes from something else.
        """
        for path, of in self.nets.items():
            if path == net or path.endswith(f".{net}"):
                names = [self.driver.get(bit) for bit in of["bits"]]
                found = [name for name in names if name and _is_register(self.cells[name])]
                if len(found) == len(names):
                    return found
        raise ValueError(f"no net {net} that comes from flip-flops")

    def place(self, sites: Mapping[str, str]) -> None:
        """Fix cells, by their names, in their places."""
        for name, site in sites.items():
            self.cells[name]["attributes"]["BEL"] = site

    def keep_free(self, sites: Iterable[str]) -> None:
        """Let nothing be placed there: a table without inputs and output stands on each site."""
        for number, site in enumerate(sites):
            self.cells[f"{KEPT_FREE}{number}"] = {
                "type": "LUT4",
                "parameters": {"INIT": f"{0:016b}"},
                "attributes": {"BEL": site},
                "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"},
                "connections": {pin: ["x"] for pin in "ABCDZ"},
            }

    def _ram_output(self, name: str, side: str) -> None:
        ram = self.cells[name]
        registers = self._behind(ram, [f"DO{side}{line}" for line in range(18)])
        controls = self._controls(registers)
        if len(controls) != 1:
            return
        clock, enable, reset = controls.pop()
        if clock == ram["connections"][f"CLK{side}"][0] and reset == "0":
            self._replace_behind(name, registers)
            ram["parameters"][f"REGMODE_{side}"] = "OUTREG"
            ram["connections"][f"OCE{side}"] = [enable]

    def _multiplier(self, name: str) -> None:
        """Take in registers of one clock without enable and reset.

        Neighbours share wires for those two.
        """
        mult = self.cells[name]
        shared: set[Control] = set()
        outputs = self._behind(mult, [f"P{line}" for line in range(36)])
        if _is_free(self._controls(outputs)):
            shared = self._controls(outputs)
            self._replace_behind(name, outputs)
            mult["parameters"]["REG_OUTPUT_CLK"] = "CLK0"
        sides = {side: self._before(mult, [f"{side}{line}" for line in range(18)]) for side in "AB"}
        inputs = shared.union(*(self._controls(registers) for registers in sides.values()))
        if all(sides.values()) and _is_free(inputs):  # both, or nextpnr does not know its timing
            shared = inputs
            for side, registers in sides.items():
                self._replace_before(name, registers)
                mult["parameters"][f"REG_INPUT{side}_CLK"] = "CLK0"
        for control in shared:
            for port, bit in zip(("CLK0", "CE0", "RST0"), control, strict=True):
                mult["connections"][port] = [bit]
                mult["port_directions"][port] = "input"

    def _controls(self, registers: dict[str, str]) -> set[Control]:
        return {_control(self.cells[name]) for name in registers.values()}

    def _behind(self, block: Cell, ports: Iterable[str]) -> dict[str, str]:
        """Return the flip-flop behind each output in use; none if any has another load."""
        registers = {}
        for port in ports:
            loads = self.loads[block["connections"][port][0]]
            if not loads:
                continue
            name, pin = loads[0]
            if len(loads) > 1 or pin != "DI" or not _is_register(self.cells[name]):
                return {}
            registers[port] = name
        return registers

    def _before(self, block: Cell, ports: Iterable[str]) -> dict[str, str]:
        """Return the flip-flop before each input; none if any has something else but a 0."""
        registers = {}
        for port in ports:
            bit = block["connections"][port][0]
            if bit == "0":
                continue
            name = self.driver.get(bit)
            if name is None or not _is_register(self.cells[name]):
                return {}
            registers[port] = name
        return registers

    def _replace_behind(self, block: str, registers: dict[str, str]) -> None:
        for port, name in registers.items():
            bit = self.cells.pop(name)["connections"]["Q"][0]
            self.cells[block]["connections"][port] = [bit]
            self.driver[bit] = block

    def _replace_before(self, block: str, registers: dict[str, str]) -> None:
        """A flip-flop with other loads stays beside the one in the block."""
        for port, name in registers.items():
            register = self.cells[name]
            data, output = register["connections"]["DI"][0], register["connections"]["Q"][0]
            self.cells[block]["connections"][port] = [data]
            self.loads[data].append((block, port))
            self.loads[output].remove((block, port))
        for name in set(registers.values()):
            register = self.cells[name]
            if not self.loads[register["connections"]["Q"][0]]:
                self.loads[register["connections"]["DI"][0]].remove((name, "DI"))
                del self.cells[name]


def _is_register(cell: Cell) -> bool:
    """Whether a cell is a flip-flop that a hard block's register can stand for."""
    if cell["type"] != "TRELLIS_FF":
        return False
    modes = {name: value.strip() for name, value in cell["parameters"].items()}
    return (
        modes["REGSET"] == "RESET"
        and modes["CLKMUX"] == "CLK"
        and modes.get("CEMUX", "CE") in ("CE", "1")
        and modes.get("LSRMUX", "LSR") == "LSR"
    )


def _is_free(controls: set[Control]) -> bool:
    """Whether there is one clock, and neither an enable nor a reset."""
    return len(controls) == 1 and next(iter(controls))[1:] == ("1", "0")


def _cuts_carry(cell: Cell) -> bool:
    """Whether the first table of a CCU2C is 0 whatever its inputs are: no carry passes it."""
    pins = [cell["connections"][f"{pin}0"][0] for pin in "ABCD"]
    table = int(cell["parameters"]["INIT0"], 2)
    return not any(
        table >> index & 1
        for index in range(16)
        if all(pin not in ("0", "1") or int(pin) == index >> n & 1 for n, pin in enumerate(pins))
    )


def _control(register: Cell) -> Control:
    connections = register["connections"]
    enable = connections.get("CE", ["1"])[0]
    if register["parameters"].get("CEMUX", "").strip() == "1":
        enable = "1"
    return connections["CLK"][0], enable, connections.get("LSR", ["0"])[0]
