"""A chip for somebody's design: ports as described, Verilog that is read, a script that is Tcl."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from sterna.model.layout import fit
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import REGISTERS
from sterna_sim.axi4_bench import CHIPS, SHAPES
from sterna_sim.tools import tool_environment
from sterna_sim.verilog import write_verilog
from tests.chip.models import MEMORY_CONFIGS, model_of

CONFIG = fit(model_of("fixture-a"), **MEMORY_CONFIGS["axi4"])

VIVADO = [
    "create_project", "add_files", "set_property", "current_fileset", "update_compile_order",
    "close_project", "ipx::package_project", "ipx::current_core", "ipx::associate_bus_interfaces",
    "ipx::get_bus_interfaces", "ipx::add_bus_parameter", "ipx::create_xgui_files",
    "ipx::update_checksums", "ipx::save_core",
]  # fmt: skip
"""Commands that the script may use beside Tcl's own, as UG835 and UG1118 have them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("drop-in")
    write_verilog(place / "s.v", CONFIG, 300_000_000)
    return place


def test_ports(folder):
    """Those in the Verilog are those that are described."""
    facts, text = json.loads((folder / "s.json").read_text()), (folder / "s.v").read_text()
    top = text.split("module sterna(")[1].split("endmodule")[0]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", top, re.M)
    assert {name: (way, int(high or 0) + 1) for way, high, name in declared} == {
        port["name"]: (port["direction"], port["bits"]) for port in facts["ports"]
    }
    kinds = {re.match(r"(aclk|aresetn|s_axil_|m_axi_\d_)", p["name"])[1] for p in facts["ports"]}
    assert kinds == {"aclk", "aresetn", "s_axil_", "m_axi_0_"}


def test_description(folder):
    facts, memory = json.loads((folder / "s.json").read_text()), AXI4[CONFIG.memory]
    assert facts["sha256"] == hashlib.sha256((folder / "s.v").read_bytes()).hexdigest()
    assert facts["verilog"] == "s.v"
    assert facts["configuration"] == CONFIG.digest
    assert facts["chip"] == CONFIG.to_dict()
    assert facts["registers"]["offsets"]["MAGIC"] == 4 * REGISTERS["MAGIC"].address
    assert facts["memory"]["interfaces"] == [
        {"interface": "m_axi_0", "first_byte": 0, "bytes": memory.port_bytes}
    ]


def test_verilog_is_read(folder):
    """By a tool that is not the one that wrote it, without a warning about ports or widths."""
    command = ["verilator", "--lint-only", "--no-timing", "-Wno-lint", "-Wno-style", "-Wno-fatal",
               "-Wwarn-WIDTH", "-Wwarn-PINMISSING", "-Wwarn-MULTIDRIVEN", "--top-module", "sterna",
               str(folder / "s.v")]  # fmt: skip
    run = subprocess.run(command, env=tool_environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "%Error" not in run.stderr
    assert "PINMISSING" not in run.stderr
    assert "MULTIDRIVEN" not in run.stderr


def run_script(text):
    """Run a script in Tcl with Vivado's commands doing nothing; return the calls."""
    tcl, calls = pytest.importorskip("tkinter").Tcl(), []
    tcl.eval("namespace eval ipx {}")
    for name in VIVADO:
        tcl.createcommand(name, lambda *words, name=name: calls.append((name, *words)) or name)
    tcl.eval(text)
    return calls


def test_script(folder):
    text = (folder / "s.tcl").read_text()
    assert "Linted, untried" in text
    calls = run_script(text)
    assert {name for name, *_ in calls} == set(VIVADO)
    associated = [call[2] for call in calls if call[0] == "ipx::associate_bus_interfaces"]
    assert associated == ["s_axil", "m_axi_0"]
    assert any(call[0] == "add_files" and call[-1].endswith("/s.v") for call in calls)


@pytest.mark.parametrize(("old", "new"), [("ipx::save_core", "ipx::save"), ("foreach bus {", "")])
def test_script_that_is_wrong(folder, old, new):
    tkinter = pytest.importorskip("tkinter")
    text = (folder / "s.tcl").read_text()
    assert old in text
    with pytest.raises(tkinter.TclError):
        run_script(text.replace(old, new))


def test_command(tmp_path, sterna):
    """Three files, or none if one of them would lie where the configuration does."""
    config = tmp_path / "axi4.json"
    config.write_text(json.dumps(CONFIG.to_dict()))
    sterna("verilog", "--config", config, "-o", tmp_path / "axi4.v").refused("must be other files")
    assert list(tmp_path.iterdir()) == [config]
    assert ChipConfig.from_dict(json.loads(config.read_text())) == CONFIG
    output = tmp_path / "sterna.v"
    assert sterna("verilog", "--config", config, "-o", output).status == 0
    beside = {config.name, output.name, "sterna.json", "sterna.tcl"}
    assert {path.name for path in tmp_path.iterdir()} == beside


def test_shipped_configuration():
    """The chip for 370M that is shipped is the one that the bench measures."""
    path = Path(__file__).parents[2] / "models" / "370m" / "axi4-ddr4.json"
    shipped = ChipConfig.from_dict(json.loads(path.read_text()))
    assert shipped == CHIPS["ddr4"].config(SHAPES["370M"])
