"""The chip for PCIe as one Verilog file: the block's ports, and no other width than it has."""

import json
import re

from tests.pcie.tops import CONFIG


def test_ports(sterna, tmp_path):
    config, output = tmp_path / "chip.json", tmp_path / "chip.v"
    config.write_text(json.dumps(CONFIG.to_dict()))
    result = sterna("verilog", "--pcie", 512, "--config", config, "-o", output)
    assert result.status == 0
    top = output.read_text().split("module sterna(")[1].split("endmodule")[0]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", top, re.M)
    sizes = {name: (way, int(high or 0) + 1) for way, high, name in declared}
    assert sizes == {
        "clk": ("input", 1),
        "rst": ("input", 1),
        "m_axis_cq_tdata": ("input", 512),
        "m_axis_cq_tkeep": ("input", 16),
        "m_axis_cq_tlast": ("input", 1),
        "m_axis_cq_tuser": ("input", 183),
        "m_axis_cq_tvalid": ("input", 1),
        "m_axis_cq_tready": ("output", 1),
        "s_axis_cc_tdata": ("output", 512),
        "s_axis_cc_tkeep": ("output", 16),
        "s_axis_cc_tlast": ("output", 1),
        "s_axis_cc_tuser": ("output", 81),
        "s_axis_cc_tvalid": ("output", 1),
        "s_axis_cc_tready": ("input", 1),
    }


def test_no_such_width(sterna, tmp_path):
    result = sterna("verilog", "--pcie", 32, "-o", tmp_path / "chip.v")
    result.refused("64, 128, 256, 512 bits, not 32")
