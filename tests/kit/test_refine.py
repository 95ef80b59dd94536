"""Late ways of a placement: how long they are, what may stand where, and that they get shorter."""

import copy
import json

import pytest

from sterna_sim.fanout import copy_drivers
from sterna_sim.netlist import Netlist
from sterna_sim.refine import refine
from sterna_sim.tiles import Tiles
from sterna_sim.ways import Ways, place_of, wire_ns

CLOCK, ENABLE, RESET = 900, 901, 902
OUTPUTS = {"F", "Q", "CLKO", "FCO", "DOA0", "P0"}


def cell(kind, site, pins, **parameters):
    """As nextpnr writes it."""
    return {
        "type": kind,
        "attributes": {"NEXTPNR_BEL": site},
        "parameters": parameters,
        "port_directions": {pin: "output" if pin in OUTPUTS else "input" for pin in pins},
        "connections": {pin: [net] for pin, net in pins.items()},
    }


def table(site, into, out, **parameters):
    pins = dict(zip("ABCD", into, strict=False))
    return cell("TRELLIS_COMB", site, {**pins, "F": out}, **parameters)


def flip_flop(site, into, out, pin="M", enable=ENABLE, reset=RESET):
    pins = {"CLK": CLOCK, "CE": enable, "LSR": reset, pin: into, "Q": out}
    return cell("TRELLIS_FF", site, pins, SD="0 " if pin == "M" else "1 ", CEMUX="CE")


def line(middle="X40/Y10/SLICEA.K0"):
    """A way from a register through a table to a register, 10 tiles long if the table is on it."""
    cells = {
        "first": flip_flop("X10/Y10/SLICEA.FF0", 1, 2),
        "table": table(middle, [2], 3),
        "last": flip_flop("X20/Y10/SLICEB.FF0", 3, 4),
    }
    for part in "ABCD":  # tiles are known by what stands there
        cells |= {
            f"{part}{x}": table(f"X{x}/Y10/SLICE{part}.K1", [], 100 + x) for x in range(8, 44)
        }
    return cells


def fix(cells, *names):
    """Let the netlist itself ask for the sites of cells."""
    for name in names:
        cells[name]["attributes"]["BEL"] = cells[name]["attributes"]["NEXTPNR_BEL"]
    return cells


def module(cells):
    return {"cells": cells, "netnames": {}, "ports": {}}


def test_wires():
    assert wire_ns((3, 3), (3, 3), from_table=True) == 0
    assert wire_ns((3, 3), (3, 3), from_table=False) == pytest.approx(0.48)
    assert wire_ns((3, 3), (5, 2), from_table=True) == pytest.approx(0.96)
    assert wire_ns((3, 3), (20, 23), from_table=False) == pytest.approx(0.08 * (6 + 37 + 10))


def test_a_way_through_a_table():
    ways = Ways(line())
    there = wire_ns((10, 10), (40, 10), False)
    back = wire_ns((40, 10), (20, 10), True)
    ns = 0.52 + there + 0.24 + back + 0.20
    assert ways.measure()[0] == pytest.approx(ns)
    assert [ways.longest(name) for name in ("first", "table", "last")] == pytest.approx([ns] * 3)
    assert ways.arrive["table"] == pytest.approx(0.52 + there + 0.24)
    assert ways.remain["first"] == pytest.approx(ns - 0.52)


def test_carries_and_hard_blocks():
    """A chain has no wires; a block RAM without its output register begins late."""
    cells = {
        "chain_0": cell("TRELLIS_COMB", "X9/Y4/SLICEA.K0", {"A": 5, "FCO": 6}, MODE="CCU2"),
        "chain_1": cell("TRELLIS_COMB", "X9/Y4/SLICEA.K1", {"FCI": 6, "F": 7}, MODE="CCU2"),
        "sum": flip_flop("X9/Y4/SLICEA.FF1", 7, 8, "DI"),
    }
    for mode, start in (("NOREG", 5.6), ("OUTREG", 1.0)):
        cells["ram"] = cell("DP16KD", "X4/Y4/EBR0", {"DOA0": 5}, REGMODE_A=mode, REGMODE_B="NOREG")
        ends = Ways(cells).measure()
        assert ends[0] == pytest.approx(start + wire_ns((4, 4), (9, 4), False) + 0.45 + 0.07 + 0.05)


def test_multipliers():
    """One without registers in front wants its operands early."""
    for clock, setup in (("NONE", 3.5), ("CLK0", 0.2)):
        cells = {
            "first": flip_flop("X9/Y9/SLICEA.FF0", 1, 2),
            "product": cell("MULT18X18D", "X9/Y10/MULT18_0", {"B3": 2}, REG_INPUTB_CLK=clock),
        }
        ns = 0.52 + wire_ns((9, 9), (9, 10), False) + setup
        assert Ways(cells).measure()[0] == pytest.approx(ns)


def test_what_may_share_a_slice_or_a_tile():
    cells = {
        "own": flip_flop("X2/Y2/SLICEA.FF0", 1, 2),
        "same": flip_flop("X9/Y2/SLICEA.FF0", 1, 3),
        "enabled": flip_flop("X9/Y2/SLICEB.FF0", 1, 4, enable=5),
        "cleared": flip_flop("X9/Y3/SLICEA.FF0", 1, 5, reset=6),
        "logic": table("X9/Y4/SLICEA.K0", [1], 6),
        "carry": table("X2/Y2/SLICEA.K0", [1], 7, MODE="CCU2"),
        "ram": table("X3/Y2/SLICEA.K0", [1], 8, MODE="DPRAM"),
        "block": cell("DP16KD", "X4/Y2/EBR0", {"DOA0": 9}),
        "other": cell("DP16KD", "X6/Y2/EBR2", {"DOA0": 10}),
    }
    tiles = Tiles(cells)
    assert tiles.move(("same",), (2, 2))
    assert tiles.site["same"] == "X2/Y2/SLICEA.FF1"
    assert tiles.move(("enabled",), (2, 2))
    assert tiles.site["enabled"] == "X2/Y2/SLICEB.FF0"
    assert not tiles.move(("cleared",), (2, 2))
    assert tiles.site["cleared"] == "X9/Y3/SLICEA.FF0"
    assert tiles.move(("logic",), (2, 2))
    assert tiles.site["logic"] == "X2/Y2/SLICEB.K0"  # not beside the carry
    assert not tiles.move(("logic",), (3, 2))
    assert not tiles.move(("logic",), (4, 2))
    tiles.swap("block", "other")
    assert (tiles.site["block"], tiles.site["other"]) == ("X6/Y2/EBR2", "X4/Y2/EBR0")
    cells["new"] = table("", [1], 11)
    assert tiles.add("new", (3, 2)) == (2, 2)
    assert len(set(tiles.site.values())) == len(tiles.site)


def sites(cells):
    return {name: one["attributes"]["NEXTPNR_BEL"] for name, one in cells.items()}


def test_a_table_comes_back_to_its_way():
    """To where its way is as short as it can be; what is not late stays; twice the same."""
    cells = fix(line(), "first", "last")
    moved, again = copy.deepcopy(cells), copy.deepcopy(cells)
    for one in (moved, again):
        refine(module(one), [4.0], 1)
    found = sites(moved)
    assert found == sites(again)
    assert len(set(found.values())) == len(cells)
    assert [name for name, site in sites(cells).items() if site != found[name]] == ["table"]
    assert Ways(moved).measure()[0] < 4.0 < Ways(cells).measure()[0]


def test_what_is_in_time_stays():
    cells = line()
    refine(module(moved := copy.deepcopy(cells)), [9.0], 1)
    assert sites(moved) == sites(cells)


def test_what_the_netlist_fixes_stays():
    cells = fix(line(), "first", "table", "last")
    refine(module(moved := copy.deepcopy(cells)), [4.0], 1)
    assert sites(moved) == sites(cells)


def test_a_flip_flop_goes_with_its_table():
    behind = {"last": flip_flop("X40/Y10/SLICEC.FF0", 3, 4, "DI")}  # in whatever order
    cells = behind | fix(line(), "first") | behind
    cells["table"] = table("X40/Y10/SLICEC.K0", [2], 3)
    cells["next"] = flip_flop("X12/Y10/SLICEB.FF0", 4, 5)
    fix(cells, "next")
    refine(module(cells), [2.0], 1)
    one, other = sites(cells)["table"], sites(cells)["last"]
    assert one == other.replace("FF", "K")
    assert int(one[1:3]) < 20


@pytest.mark.parametrize("pin, stays", [("DI", True), ("M", False)])
def test_a_flip_flop_stays_with_its_constant(pin, stays):
    """That comes from a table before it, which begins no way."""
    cells = fix(line("X12/Y10/SLICEA.K0"), "first", "table", "last")
    cells["$PACKER_GND"] = table("X40/Y10/SLICEC.K0", [], 5)
    fix(cells, "$PACKER_GND")  # so that the tile does not move
    cells["begins"] = flip_flop("X40/Y10/SLICEC.FF0", 5, 6, pin)
    cells["table"]["connections"]["B"] = [6]
    cells["table"]["port_directions"]["B"] = "input"
    refine(module(cells), [2.0], 1)
    found = sites(cells)
    assert (found["begins"] == found["$PACKER_GND"].replace("K", "FF")) == stays


@pytest.mark.parametrize(
    ("kind", "site", "pin"), [("DP16KD", "EBR", "DOA0"), ("MULT18X18D", "MULT18_", "P0")]
)
def test_blocks_are_exchanged(kind, site, pin):
    """The one on a late way gets the place beside its register, whatever the floor plan says."""
    cells = line("X15/Y10/SLICEA.K0")
    cells["late"] = cell(kind, f"X90/Y10/{site}0", {pin: 50})
    cells["idle"] = cell(kind, f"X11/Y10/{site}1", {pin: 51})
    cells["heard"] = flip_flop("X12/Y10/SLICEB.FF0", 50, 52)
    fix(cells, "idle", "heard")
    refine(module(cells), [8.0], 1)
    assert sites(cells)["late"] == f"X11/Y10/{site}1"
    assert sites(cells)["idle"] == f"X90/Y10/{site}0"


def test_a_block_alone_stays():
    cells = line("X15/Y10/SLICEA.K0")
    cells["late"] = cell("MULT18X18D", "X90/Y10/MULT18_0", {"P0": 50})
    cells["heard"] = flip_flop("X12/Y10/SLICEB.FF0", 50, 52)
    refine(module(cells), [8.0], 1)
    assert sites(cells)["late"] == "X90/Y10/MULT18_0"


def test_tiles_change_places():
    """Those that a carry joins stay side by side, and all that stands in them goes along."""
    cells = {}
    for number, part in enumerate("ABCD"):
        for half in "01":
            for column in (20, 21):
                before = 8 * (column - 20) + 2 * number + int(half)
                pins = {"A": 2} if not before else {"FCI": 100 + before}
                name = f"carry_{before}"
                cells[name] = cell(
                    "TRELLIS_COMB",
                    f"X{column}/Y10/SLICE{part}.K{half}",
                    {**pins, "FCO": 101 + before},
                    MODE="CCU2",
                )
    cells["beside"] = flip_flop("X21/Y10/SLICEA.FF0", 1, 5)
    cells["plain"] = table("X8/Y10/SLICEC.K0", [5], 6)
    for column in (7, 9):
        cells[f"there_{column}"] = table(f"X{column}/Y10/SLICEA.K0", [5], column)
    tiles = Tiles(cells)
    run = tiles.run((21, 10))
    assert run == [(20, 10), (21, 10)]
    assert not tiles.may_exchange([(8, 10)], [(20, 10)])  # would cut the chain
    assert not tiles.may_exchange([(8, 10)], [(21, 10)])
    assert not tiles.may_exchange(run, [(21, 10), (22, 10)])
    assert not tiles.may_exchange(run, [(5, 10), (6, 10)])  # no tiles of logic
    others = [(8, 10), (9, 10)]
    assert tiles.may_exchange(run, others)
    expected = tiles.exchanged(run, others)
    assert tiles.exchange(run, others) == expected
    assert tiles.site["carry_0"] == "X8/Y10/SLICEA.K0"
    assert tiles.site["carry_15"] == "X9/Y10/SLICED.K1"
    assert tiles.site["beside"] == "X9/Y10/SLICEA.FF0"
    assert tiles.site["plain"] == "X20/Y10/SLICEC.K0"
    assert tiles.run((8, 10)) == others
    fixed = Tiles(fix(cells, "plain"))
    assert not fixed.may_exchange(run, others)


def test_a_late_chain_moves():
    cells = fix(line("X15/Y10/SLICEA.K0"), "first", "last")
    cells["sum"] = cell("TRELLIS_COMB", "X40/Y12/SLICEA.K0", {"A": 2, "F": 50}, MODE="CCU2")
    cells["result"] = flip_flop("X16/Y10/SLICED.FF0", 50, 51)
    fix(cells, "result")
    refine(module(cells), [4.0], 1)
    assert Ways(cells).measure()[0] < 4.0
    assert int(sites(cells)["sum"][1:3]) < 30


def test_copies_of_placed_cells():
    """A copy hears its driver's table from outside, and what lies behind a table keeps it."""
    cells = {
        "table": table("X9/Y4/SLICEA.K0", [1], 2),
        "behind": flip_flop("X9/Y4/SLICEA.FF0", 2, 3, "DI"),
    }
    cells |= {f"near_{n}": table(f"X{10 + n}/Y4/SLICEA.K0", [2, 3], 10 + n) for n in range(5)}
    cells |= {f"far_{n}": table(f"X{90 + n}/Y4/SLICEA.K0", [2, 3], 20 + n) for n in range(5)}
    before = copy.deepcopy(cells)
    refine(module(cells), [9.0], 1)
    tables = [name for name in cells if name.startswith("table")]
    twin = next(name for name in cells if name.startswith("behind_copy"))
    assert len(tables) == 2
    assert cells[twin]["connections"]["DI"] == []
    heard = {name: cells[name]["connections"]["F"] for name in tables}
    assert cells[twin]["connections"]["M"] in heard.values()
    assert cells[twin]["parameters"]["SD"].strip() == "0"
    assert cells["behind"]["connections"] == before["behind"]["connections"]
    for port in "AB":
        nets = {json.dumps(cells[f"far_{n}"]["connections"][port]) for n in range(5)}
        assert len(nets) == 1
        assert nets.isdisjoint(
            json.dumps(cells[f"near_{n}"]["connections"][port]) for n in range(5)
        )
    assert len(set(sites(cells).values())) == len(cells)


def test_resets_of_multipliers_stay():
    """Multipliers beside each other share their control, so it comes from one driver."""
    cells = {"reset": flip_flop("X9/Y4/SLICEA.FF0", 1, 2)}
    for n in range(60):
        cells[f"load_{n}"] = cell("MULT18X18D", f"X{10 + n}/Y10/MULT18_0", {"RST0": 2, "A0": 2})
    where = {name: place for name, one in cells.items() if (place := place_of(one))}
    assert copy_drivers(Netlist(module(cells)), where)
    assert {
        one["connections"]["RST0"][0] for one in cells.values() if "RST0" in one["connections"]
    } == {2}


def test_tables_leave_clock_nets():
    """They hear a copy of what drives the buffer; flip-flops stay on the clock's net."""
    cells = {
        "reset": flip_flop("X9/Y4/SLICEA.FF0", 1, 2),
        "buffer": cell("DCCA", "X60/Y0/TDCC1", {"CLKI": 2, "CLKO": 3}),
        "cleared": flip_flop("X20/Y4/SLICEA.FF0", 4, 5, reset=3),
    }
    cells |= {f"load_{n}": table(f"X{10 + n}/Y4/SLICEA.K0", [3], 20 + n) for n in range(60)}
    refine(module(cells), [9.0], 1)
    copies = [name for name in cells if name.startswith("reset")]
    assert len(copies) > 1
    nets = {cells[name]["connections"]["Q"][0] for name in copies}
    assert {cells[f"load_{n}"]["connections"]["A"][0] for n in range(60)} == nets
    assert cells["buffer"]["connections"]["CLKI"] == [2]
    assert cells["cleared"]["connections"]["LSR"] == [3]


def test_chains_are_not_copied():
    """A carry's output has its place in the chain."""
    cells = {"chain": table("X9/Y4/SLICEA.K0", [1], 2, MODE="CCU2")}
    cells |= {f"load_{n}": table(f"X{10 + n}/Y4/SLICEA.K0", [2], 10 + n) for n in range(60)}
    where = {name: (9, 4) for name in cells}
    assert not copy_drivers(Netlist(module(cells)), where)
