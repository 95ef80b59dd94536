"""Netlist: registers move into hard blocks, drivers are copied; the design does the same."""

import copy
import json
from collections import defaultdict
from dataclasses import replace

import pytest
from amaranth import *
from amaranth.back import rtlil

from sterna_rtl.lib.ram import Ram
from sterna_sim.fanout import USUAL, Limits, copy_drivers
from sterna_sim.netlist import Netlist
from tests.kit.lockstep import differences, run

ONE = Limits(most=1, few=1, widest=0)

WIDTHS = {"address": 11, "piece": 9, "write": 1, "enable": 1, "a": 16, "b": 17}


class Design(Elaboratable):
    """A RAM with an enabled register behind it, products with registers around them, a sum."""

    def __init__(self):
        self.clk = Signal()
        self.inputs = {name: Signal(width, name=name) for name, width in WIDTHS.items()}
        self.o = Signal(80)
        self.ports = [self.clk, *self.inputs.values(), self.o]

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        i = self.inputs
        m.submodules.ram = ram = Ram(2048, 9)
        byte = Signal(9)
        m.d.comb += [
            ram.write.enable.eq(i["write"]),
            ram.write.address.eq(i["address"]),
            ram.write.data.eq(i["piece"]),
            ram.read.address.eq(i["address"] ^ 1),
        ]
        with m.If(i["piece"][0]):
            m.d.sync += byte.eq(ram.read.data)

        a, b = Signal(signed(16)), Signal(signed(17))
        product, square, held = Signal(signed(33)), Signal(18), Signal(18)
        m.d.sync += [a.eq(i["a"]), b.eq(i["b"]), product.eq(a * b), square.eq(byte * byte)]
        with m.If(i["enable"]):  # stays outside
            m.d.sync += held.eq(a[:9] * byte)
        m.d.comb += self.o.eq(Cat(product, square + held, a[:4], byte))
        return m


def ports(*groups):
    return [f"{name}{n}" for name, count in groups for n in range(count)]


def module(name, parameters, inputs, outputs, body):
    heads = [f"parameter {p} = {value}" for p, value in parameters.items()]
    pins = [f"input {pin}" for pin in inputs] + [f"output {pin}" for pin in outputs]
    return f"module {name} #({', '.join(heads)}) ({', '.join(pins)});\n{body}\nendmodule\n"


def bus(name, count):
    return "{" + ", ".join(f"{name}{n}" for n in reversed(range(count))) + "}"


def models():
    """What the hard blocks do, as far as the design uses them: 2048 x 9, no resets."""
    ram = module(
        "DP16KD",
        {
            name: value
            for side in "AB"
            for name, value in {
                f"DATA_WIDTH_{side}": 9,
                f"REGMODE_{side}": '"NOREG"',
                f"CSDECODE_{side}": '""',
                f"WRITEMODE_{side}": '""',
                f"CLK{side}MUX": '""',
            }.items()
        }
        | {"GSR": '""', "RESETMODE": '""', "ASYNC_RESET_RELEASE": '""'}
        | {f"INITVAL_{n:02X}": 0 for n in range(64)},
        [
            pin
            for s in "AB"
            for pin in [
                *ports((f"AD{s}", 14), (f"DI{s}", 18), (f"CS{s}", 3)),
                *(f"{control}{s}" for control in ("CLK", "CE", "OCE", "WE", "RST")),
            ]
        ],
        ports(("DOA", 18), ("DOB", 18)),
        f"""
        reg [8:0] words [0:2047];
        reg [8:0] latch, register;
        wire [13:0] write_address = {bus("ADA", 14)}, read_address = {bus("ADB", 14)};
        always @(posedge CLKA) if (CEA && WEA)
            words[write_address[13:3]] <= {bus("DIA", 9)};
        always @(posedge CLKB) begin
            if (CEB) latch <= words[read_address[13:3]];
            if (OCEB) register <= latch;
        end
        assign {bus("DOB", 9)} = REGMODE_B == "OUTREG" ? register : latch;
        """,
    )
    registers = ("INPUTA", "INPUTB", "OUTPUT")
    signs = ["SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB"]
    mult = module(
        "MULT18X18D",
        {f"REG_{name}_CLK": '"NONE"' for name in registers},
        [*ports(("A", 18), ("B", 18), ("C", 18)), *signs, "CLK0", "CE0", "RST0"],
        ports(("P", 36)),
        f"""
        wire [17:0] pin_a = {bus("A", 18)}, pin_b = {bus("B", 18)};
        reg [17:0] reg_a, reg_b;
        reg [35:0] register;
        wire [17:0] a = REG_INPUTA_CLK == "CLK0" ? reg_a : pin_a;
        wire [17:0] b = REG_INPUTB_CLK == "CLK0" ? reg_b : pin_b;
        wire [35:0] product =
            {{{{18{{SIGNEDA & a[17]}}}}, a}} * {{{{18{{SIGNEDB & b[17]}}}}, b}};
        always @(posedge CLK0) if (CE0) begin
            reg_a <= pin_a;
            reg_b <= pin_b;
            register <= product;
        end
        assign {bus("P", 36)} = REG_OUTPUT_CLK == "CLK0" ? register : product;
        """,
    )
    return ram + mult


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("netlist")
    design = Design()
    (folder / "top.il").write_text(
        rtlil.convert(design, ports=design.ports, name="top", emit_src=False)
    )
    run(folder, "yosys", "-q", "-p", "read_rtlil top.il; synth_ecp5 -top top; write_json top.json")
    return json.loads((folder / "top.json").read_text())


def compare(folder, first, second):
    # Few addresses, so that what is read was written before.
    inputs = WIDTHS | {"address": 5}
    designs = {"first": first, "second": second}
    return differences(folder, designs, inputs, output=80, models=models())


def test_registers_are_absorbed(mapped, tmp_path):
    design = copy.deepcopy(mapped)
    netlist = Netlist(design["modules"]["top"])
    before = dict(netlist.cells)
    assert netlist.absorb_registers() >= 9 + 16 + 17 + 33
    (ram,) = (c["parameters"] for c in netlist.cells.values() if c["type"] == "DP16KD")
    assert (ram["REGMODE_A"], ram["REGMODE_B"]) == ("NOREG", "OUTREG")
    assert netlist.end_carries() > 0
    assert set(netlist.cells) < set(before)

    assert compare(tmp_path, mapped, design) == 0


def test_registers_of_a_net(mapped):
    """One flip-flop for each bit, in order; a net that has none is refused by its name."""
    module = copy.deepcopy(mapped)["modules"]["top"]
    names = Netlist(module).registers("held")
    outputs = [module["cells"][name]["connections"]["Q"][0] for name in names]
    assert outputs == module["netnames"]["held"]["bits"]
    with pytest.raises(ValueError, match="no net address that comes from flip-flops"):
        Netlist(module).registers("address")


def test_a_register_left_out_is_seen(mapped, tmp_path):
    design = copy.deepcopy(mapped)
    netlist = Netlist(design["modules"]["top"])
    netlist.absorb_registers()
    (ram,) = (c["parameters"] for c in netlist.cells.values() if c["type"] == "DP16KD")
    ram["REGMODE_B"] = "NOREG"
    assert compare(tmp_path, mapped, design) > 0


def test_drivers_are_copied(mapped, tmp_path):
    """All that one table or flip-flop drives lies in one tile afterwards, and nothing changes."""
    design = copy.deepcopy(mapped)
    module = design["modules"]["top"]
    names = sorted(module["cells"])
    where = {name: (n % 7, n // 7) for n, name in enumerate(names)}
    copies = copy_drivers(Netlist(module), where, ONE)
    assert copies.keys() == module["cells"].keys() - set(names)
    assert copies
    where |= copies
    tiles = defaultdict(set)
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input" and not port.startswith("CLK"):
                for bit in bits:
                    tiles[bit].add(where.get(name))
    for cell in module["cells"].values():
        if cell["type"] in ("LUT4", "TRELLIS_FF"):
            for port in {"Z", "Q"} & set(cell["connections"]):
                assert len(tiles[cell["connections"][port][0]]) <= 1
    assert compare(tmp_path, mapped, design) == 0


def test_a_copy_of_something_else_is_seen(mapped, tmp_path):
    design = copy.deepcopy(mapped)
    module = design["modules"]["top"]
    names = sorted(module["cells"])
    copy_drivers(Netlist(module), {name: (n % 7, n // 7) for n, name in enumerate(names)}, ONE)
    cell = next(module["cells"][name] for name in sorted(set(module["cells"]) - set(names)))
    cell["connections"]["DI" if cell["type"] == "TRELLIS_FF" else "A"] = ["1"]
    assert compare(tmp_path, mapped, design) > 0


def test_cells_of_a_tile_stay_together():
    """Flip-flops of one tile keep one enable."""

    def flip_flop():
        return {
            "type": "TRELLIS_FF",
            "attributes": {},
            "parameters": {},
            "port_directions": {"CE": "input"},
            "connections": {"CE": [2]},
        }

    cells = {f"bit_{n}": flip_flop() for n in range(32)}
    cells["enable"] = {
        "type": "LUT4",
        "attributes": {},
        "parameters": {},
        "port_directions": {"Z": "output"},
        "connections": {"Z": [2]},
    }
    where = {f"bit_{n}": (3 + n // 8, 76) for n in range(32)}
    netlist = Netlist({"cells": cells, "netnames": {}, "ports": {}})
    assert len(copy_drivers(netlist, where, replace(USUAL, most=12))) == 3
    for tile in range(4):
        assert len({cells[f"bit_{8 * tile + n}"]["connections"]["CE"][0] for n in range(8)}) == 1


def test_wide_nets_are_parted():
    """Ten loads at both ends of the chip get a driver for each end, eight keep theirs."""

    def load(net):
        return {
            "type": "LUT4",
            "attributes": {},
            "parameters": {},
            "port_directions": {"A": "input"},
            "connections": {"A": [net]},
        }

    def driver(net):
        return {
            "type": "TRELLIS_FF",
            "attributes": {},
            "parameters": {},
            "port_directions": {"Q": "output"},
            "connections": {"Q": [net]},
        }

    cells = {"many": driver(2), "few": driver(3)}
    cells |= {f"many_{n}": load(2) for n in range(10)} | {f"few_{n}": load(3) for n in range(8)}
    where = {name: (4 + 100 * (n % 2), n) for n, name in enumerate(cells)}
    copies = copy_drivers(Netlist({"cells": cells, "netnames": {}, "ports": {}}), where)
    assert list(copies.values()) == [(104, 7)]
    for end in range(2):
        nets = {cells[f"many_{n}"]["connections"]["A"][0] for n in range(end, 10, 2)}
        assert len(nets) == 1
    assert {cells[f"few_{n}"]["connections"]["A"][0] for n in range(8)} == {3}
