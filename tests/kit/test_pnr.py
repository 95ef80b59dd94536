"""What place and route counts on: block RAMs by their shapes, and their places."""

import pytest
from amaranth.back import rtlil

from sterna.spec.chip import REFERENCE
from sterna_rtl.lib.ram import Ram
from sterna_sim.floorplan import block_ram_sites
from sterna_sim.pnr import block_rams


@pytest.mark.parametrize(
    "depth, bits, count",
    [(2048, 430, 48), (1536, 430, 36), (1024, 128, 8), (512, 68, 2), (600, 8, 1), (128, 430, 0)],
)
def test_block_rams(depth, bits, count):
    assert block_rams(rtlil.convert(Ram(depth, bits), name="ram", emit_src=False)) == count


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
