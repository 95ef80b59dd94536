"""A card around the chip: a top that Verilator reads, and a script that is Tcl. Nobody built it."""

import json
import subprocess

import pytest

from sterna.spec.pcie import BEAT_BITS
from sterna_rtl.pcie_chip import PcieChip
from sterna_sim.pcie_card import LINKS, write_card
from sterna_sim.tools import tool_environment
from tests.pcie.tops import CLOCK_HZ, CONFIG, DMA_CONFIG

VIVADO = [
    "create_project", "add_files", "create_ip", "set_property", "get_ips", "generate_target",
    "current_fileset", "update_compile_order", "launch_runs", "wait_on_run", "get_runs",
    "get_property", "close_project",
]  # fmt: skip
"""Commands that the script may use beside Tcl's own, as UG835 has them."""

STUBS = """
module IBUFDS_GTE4 #(parameter REFCLK_HROW_CK_SEL = 0) (input I, IB, CEB, output O, ODIV2);
endmodule
module pcie_block (
    input sys_clk, sys_clk_gt, sys_reset, input [{high}:0] pci_exp_rxp, pci_exp_rxn,
    output [{high}:0] pci_exp_txp, pci_exp_txn, output user_clk, user_reset,
    output [2:0] cfg_max_read_req, input [1:0] pcie_cq_np_req, input cfg_config_space_enable,
    input cfg_link_training_enable, cfg_power_state_change_ack,
    output [{data}:0] m_axis_cq_tdata, m_axis_rc_tdata, input [{data}:0] s_axis_cc_tdata,
    input [{data}:0] s_axis_rq_tdata, output [{keep}:0] m_axis_cq_tkeep, m_axis_rc_tkeep,
    input [{keep}:0] s_axis_cc_tkeep, s_axis_rq_tkeep, output [{cq}:0] m_axis_cq_tuser,
    input [{cc}:0] s_axis_cc_tuser, input [{rq}:0] s_axis_rq_tuser,
    output [{rc}:0] m_axis_rc_tuser, output m_axis_cq_tlast, m_axis_cq_tvalid, s_axis_cc_tready,
    output m_axis_rc_tlast, m_axis_rc_tvalid, s_axis_rq_tready,
    input m_axis_cq_tready, s_axis_cc_tlast, s_axis_cc_tvalid,
    input m_axis_rc_tready, s_axis_rq_tlast, s_axis_rq_tvalid
);
endmodule
"""
"""The block's ports, as far as they are used."""


def stubs(width):
    wide = width == 512
    users = {"cq": 182 if wide else 87, "cc": 80 if wide else 32, "rq": 136 if wide else 61}
    users["rc"] = 160 if wide else 74
    return STUBS.format(high=LINKS[width][1] - 1, data=width - 1, keep=width // 32 - 1, **users)


@pytest.mark.parametrize("config", [CONFIG, DMA_CONFIG], ids=["tape on the chip", "DMA"])
@pytest.mark.parametrize("width", BEAT_BITS)
def test_top_is_read(tmp_path, config, width):
    """With no port that is missing, none too many, and none of another width."""
    chip = PcieChip(config, width, CLOCK_HZ)
    write_card(tmp_path / "s.v", chip, width)
    ports = ", ".join(
        f"{'input' if member.flow.name == 'In' else 'output'} [{member.shape - 1}:0] {name}"
        for name, member in chip.signature.members.items()
    )
    chip_stub = f"module sterna (input clk, input rst, {ports});\nendmodule\n"
    (tmp_path / "stubs.v").write_text(stubs(width) + chip_stub)
    command = ["verilator", "--lint-only", "--no-timing", "-Wall", "-Wno-DECLFILENAME",
               "-Wno-UNUSEDSIGNAL", "-Wno-UNDRIVEN", "-Wno-UNUSEDPARAM", "--top-module",
               "sterna_card", "s.top.v", "stubs.v"]  # fmt: skip
    run = subprocess.run(
        command, cwd=tmp_path, env=tool_environment(), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def run_script(text, progress="100%", slack="0.1"):
    """Run a script in Tcl with Vivado's commands doing nothing; return the calls."""
    tcl, calls = pytest.importorskip("tkinter").Tcl(), []

    def call(name, *words):
        calls.append((name, *words))
        return {"PROGRESS": progress, "STATS.WNS": slack}.get(words[0] if words else "", name)

    for name in VIVADO:
        tcl.createcommand(name, lambda *words, name=name: call(name, *words))
    tcl.eval(text)
    return calls


@pytest.fixture
def script(tmp_path, monkeypatch):
    write_card(tmp_path / "s.v", PcieChip(DMA_CONFIG, 256, CLOCK_HZ), 256)
    (tmp_path / "s-u200").mkdir()
    return (tmp_path / "s.tcl").read_text().replace("[info script]", f"{{{tmp_path}/s.tcl}}")


def test_script(script, tmp_path):
    assert "Linted, untried" in script
    calls = run_script(script)
    assert {name for name, *_ in calls} == set(VIVADO)
    (words,) = [tuple(call[2].split()) for call in calls if call[:2] == ("set_property", "-dict")]
    settings = dict(zip(words[::2], words[1::2], strict=True))
    assert settings["CONFIG.vendor_id"] == "10ee"
    assert settings["CONFIG.PL_LINK_CAP_MAX_LINK_WIDTH"] == "X8"
    assert settings["CONFIG.AXISTEN_IF_RC_STRADDLE"] == "false"
    assert "PACKAGE_PIN AM11" in (tmp_path / "s-u200" / "card.xdc").read_text()


@pytest.mark.parametrize(
    "results, why", [({"progress": "60%"}, "its end"), ({"slack": "-0.2"}, "clock of 250 MHz")]
)
def test_build_that_fails(script, results, why):
    tkinter = pytest.importorskip("tkinter")
    with pytest.raises(tkinter.TclError, match=why):
        run_script(script, **results)


def test_command(sterna, tmp_path):
    """Three files, or none if one of them would lie where the configuration does."""
    config = tmp_path / "chip.tcl"
    config.write_text(json.dumps(CONFIG.to_dict()))
    refused = sterna("verilog", "--pcie", 64, "--config", config, "-o", tmp_path / "chip.v")
    refused.refused("must be other files")
    assert list(tmp_path.iterdir()) == [config]
