"""What place and route counts on: block RAMs by their shapes, and their places."""

import hashlib
import json
import re

import pytest
from amaranth.back import rtlil

from sterna import bitstream
from sterna.errors import InputError
from sterna.spec.chip import REFERENCE
from sterna.spec.registers import INTERFACE_VERSION
from sterna_rtl.family.ecp5 import ECP5
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.ram import Ram
from sterna_sim.build import config_of
from sterna_sim.engine_alone import EngineAlone
from sterna_sim.floorplan import (
    activation_sites,
    block_ram_sites,
    free_sites,
    multiplier_sites,
    other_sites,
)
from sterna_sim.netlist import KEPT_FREE, Netlist
from sterna_sim.pnr import count_block_rams
from sterna_sim.tools import ROOT
from tests.kit.test_boards import small


@pytest.mark.parametrize(
    "depth, bits, count",
    [
        (2048, 430, 48),
        (1536, 430, 36),
        (1024, 128, 8),
        (512, 68, 2),
        (600, 8, 1),
        (64, 430, 0),
        (8320, 64, 36),
        (4608, 64, 18),
        (16640, 64, 68),
        (600, 40, 3),
    ],
)
def test_block_rams(depth, bits, count):
    assert count_block_rams(rtlil.convert(Ram(depth, bits), name="ram", emit_src=False)) == count


def test_rows_of_a_queue_are_no_block_ram():
    queue = rtlil.convert(Queue(16, 128), name="queue", emit_src=False)
    assert "size 128" in queue
    assert count_block_rams(queue) == 0


def cell(kind, width):
    return {"type": kind, "parameters": {"DATA_WIDTH_B": f"{width:032b}"}}


def cells(banks, pieces, unit):
    return {
        f"chip.chip.{unit}.bank_{bank}.words.0.{piece}": cell("DP16KD", 9)
        for bank in range(banks)
        for piece in range(pieces)
    }


def column(site):
    return int(site.split("/")[0][1:])


def test_sites():
    tape, embedding = cells(3, 48, "reader"), cells(6, 8, "embedding")
    other = {"chip.chip.banks.vector_a.words.0.0": cell("DP16KD", 36), "x": cell("LUT4", 0)}
    row_bits = REFERENCE.word_bits // REFERENCE.rows
    sites = block_ram_sites(tape | embedding | other, row_bits)
    assert sites.keys() == tape.keys() | embedding.keys()
    assert len(set(sites.values())) == len(sites)
    assert {site.split("/")[1] for name, site in sites.items() if name in embedding} == {"Y22"}
    # The trits of a column lie beside each other for all rows and in all banks.
    for piece in range(12):
        columns = [
            column(sites[f"chip.chip.reader.bank_{bank}.words.0.{piece + 12 * row}"])
            for bank in range(3)
            for row in range(4)
        ]
        assert max(columns) - min(columns) < 24


def test_too_many():
    with pytest.raises(ValueError, match="157 block RAMs do not fit into 156"):
        block_ram_sites(cells(1, 157, "reader"), 430)


def multipliers(element, count):
    """Names as Yosys gives them."""
    lane = [f"chip.chip.epilogue.lane_{element}.product${n}_MULT18X18D_P0" for n in range(count)]
    others = [f"chip.chip.quantizer.statistics.{n}_{element}_Q_3" for n in ("square1", "products_")]
    return {name: cell("MULT18X18D", 18) for name in [*lane, *others]}


def test_multipliers_of_an_element_are_neighbours():
    cells = {name: of for element in range(8) for name, of in multipliers(element, 5).items()}
    other = {
        "chip.chip.quantizer.reciprocal.multiple_3": cell("MULT18X18D", 18),
        "chip.chip.epilogue.lane_3.x": cell("LUT4", 0),
    }
    sites = multiplier_sites(cells | other, 8)
    assert sites.keys() == cells.keys()
    assert len(set(sites.values())) == len(sites)
    for element in range(8):
        columns = [column(sites[name]) for name in multipliers(element, 5)]
        assert max(columns) - min(columns) <= 18
        assert 13 * element <= min(columns) - 4 <= 15 * element + 2
    with pytest.raises(InputError, match=r"7 multipliers of an element in epilogue .* than 8"):
        multiplier_sites(multipliers(0, 7), 8)


def test_few_elements_lie_close():
    """Eight places for each, at the right but not at the edge."""
    cells = {name: of for element in range(4) for name, of in multipliers(element, 5).items()}
    sites = multiplier_sites(cells, 4)
    assert len(set(sites.values())) == len(sites) == len(cells)
    columns = [column(site) for site in sites.values()]
    assert 30 < min(columns) < 45
    assert 100 < max(columns) < 120
    for element in range(4):
        own = [column(sites[name]) for name in multipliers(element, 5)]
        assert max(own) - min(own) <= 18


def test_tables_lie_beside_their_multipliers():
    """In the middle of their rows, on what others leave."""
    curves = ("chip.chip.quantizer.reciprocal", "chip.chip.quantizer.scale.inverse_root")
    cells = {f"{curve}.rom.0.0": cell("DP16KD", 36) for curve in curves}
    cells |= {f"{curve}.product_Q_DI_MULT18X18D_P1": cell("MULT18X18D", 18) for curve in curves}
    cells |= {"chip.chip.quantizer.reciprocal.product_LUT4_A": cell("LUT4", 0)}
    free = other_sites(cells, ())
    sites = other_sites(cells, free.values())
    assert sites.keys() == free.keys() == {name for name in cells if "LUT4" not in name}
    assert not set(sites.values()) & set(free.values())
    assert len(set(sites.values())) == len(sites)
    columns = [column(site) for site in sites.values()]
    assert 50 < min(columns) <= max(columns) < 80
    assert {site.split("/")[1] for site in free.values()} == {"Y58", "Y70"}


def test_banks_lie_along_the_elements():
    """From left to right, beside what is taken if that is nearer than another row."""
    names = [f"chip.chip.banks.state.ram.words.0.{n}" for n in range(4)]
    cells = {name: cell("DP16KD", 36) for name in names}
    free = other_sites(cells, ())
    assert {site.split("/")[1] for site in free.values()} == {"Y22"}
    sites = other_sites(cells, free.values())
    for found in (free, sites):
        columns = [column(found[name]) for name in names]
        assert columns == sorted(columns)
        assert columns[0] < 25 < 40 < columns[1] < 50 < 70 < columns[2] < 90 < 100 < columns[3]
    assert not set(sites.values()) & set(free.values())


def test_activations_of_a_column_share_a_tile():
    names = [f"activations_{bit}" for bit in range(8 * 64)]
    sites = activation_sites(names, 64)
    assert len(set(sites.values())) == len(names)
    tiles = [
        {sites[name].split("/SLICE")[0] for name in names[n : n + 8]} for n in range(0, 512, 8)
    ]
    assert {len(tile) for tile in tiles} == {1}
    places = [int(tile.pop().split("/")[0][1:]) for tile in tiles]
    assert (places, places[0], places[-1]) == (sorted(set(places)), 3, 121)
    with pytest.raises(ValueError, match="511 flip-flops for 64 columns"):
        activation_sites(names[1:], 64)


def test_rows_without_tables():
    sites = free_sites()
    assert len(set(sites)) == len(sites)
    rows = {int(site.split("/")[1][1:]) for site in sites}
    # Block RAMs, multipliers and activations have rows of their own.
    assert not rows & {10, 22, 34, 46, 58, 70, 76, 82}
    assert len(sites) == len(rows) * 123 * 8
    netlist = Netlist({"cells": {}, "netnames": {}, "ports": {}})
    netlist.keep_free(sites)
    assert [cell["attributes"]["BEL"] for cell in netlist.cells.values()] == sites
    assert all(name.startswith(KEPT_FREE) for name in netlist.cells)


def test_the_engine_alone_fits_its_units():
    """It is built by hand only: what its units have become must not break it unseen."""
    top = EngineAlone(small(""))
    text = rtlil.convert(top, platform=ECP5, ports=top.ports, name="top", emit_src=False)
    assert {"reader", "words", "unpacker", "engine"} <= set(
        re.findall(r"module \\top\.(\w+)", text)
    )


def test_bitstreams_are_of_this_chip():
    """What is shipped is whole; `sterna flash` refuses one that is older than the driver."""
    manifests = list((ROOT / "bitstreams").glob("*/manifest.json"))
    assert manifests
    for path in manifests:
        manifest = json.loads(path.read_text())
        packed = path.parent / bitstream.NAME
        assert packed.stat().st_size < 1 << 20
        assert manifest["sha256"] == hashlib.sha256(bitstream.read(packed)).hexdigest()
        assert manifest["board"] == path.parent.name
        assert manifest["digest"] == config_of(manifest["board"]).digest
        assert manifest["interface_version"] <= INTERFACE_VERSION
        assert min(manifest["fmax_mhz"].values()) * 1e6 >= manifest["clock_hz"]
