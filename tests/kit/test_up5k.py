"""Counting the cells of a chip that is mapped to an iCE40, on a netlist by hand."""

from collections import Counter

from sterna_sim.up5k import units


def table(o, *inputs):
    ports = dict(zip(["I0", "I1", "I2", "I3"], ([bit] for bit in inputs), strict=False))
    return cell("SB_LUT4", {"O": [o]}, ports)


def register(q, d):
    return cell("SB_DFFE", {"Q": [q]}, {"D": [d], "C": [2]})


def cell(kind, outputs, inputs):
    directions = {**dict.fromkeys(outputs, "output"), **dict.fromkeys(inputs, "input")}
    return {"type": kind, "connections": {**outputs, **inputs}, "port_directions": directions}


def test_cells():
    """A register shares the cell of its table, if it is the table's only load."""
    cells = {
        "serial.chip.chip.engine.sum": table(10, 3, 4),
        "serial.chip.chip.engine.sum_q": register(11, 10),
        "serial.chip.chip.engine.busy": table(12, 11),
        "serial.chip.chip.engine.busy_q": register(13, 12),
        "serial.chip.chip.engine.wait": table(14, 12),
        "serial.link.late": register(15, 14),
        "serial.link.later": register(16, 15),
        "serial.link.requests.ram": cell("SB_RAM40_4K", {"RDATA": [17]}, {"RADDR": [16]}),
        "serial.chip.chip.reader.ram": cell("SB_SPRAM256KA", {"DATAOUT": [18]}, {"ADDRESS": [16]}),
        "serial.chip.chip.epilogue.product": cell("SB_MAC16", {"O": [19]}, {"A": [18], "B": [17]}),
        "serial.chip.chip.epilogue.carry": cell("SB_CARRY", {"CO": [20]}, {"I0": [18]}),
    }
    assert units(cells) == {
        "engine": Counter(cells=4, lut4=3, ff=2),
        "link": Counter(cells=1, ff=2, ebr=1),
        "reader": Counter(spram=1),
        "epilogue": Counter(mac16=1),
    }
