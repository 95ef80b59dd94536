"""A chip for somebody's design: Verilog, what is to be known of its ports, and a Vivado script."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

from amaranth.lib.wiring import Out

from sterna.files import whole_file
from sterna.spec.axi4 import AXI4, BEATS
from sterna.spec.pcie import BAR_BYTES, LINK
from sterna.spec.registers import REGISTERS
from sterna_rtl.axi4_chip import Axi4Chip

__all__ = ["describe", "write_beside"]

_SCRIPT = Template("""\
# Packages $verilog as an IP core: vivado -mode batch -source $script
# Linted, untried: the commands are Vivado's documented ones, but nobody has run this in Vivado.
set here [file dirname [file normalize [info script]]]
set root [file join $$here $top-ip]
create_project -force $top-project [file join $$here $top-project] -part $part
add_files -norecurse [file join $$here $verilog]
set_property top $top [current_fileset]
update_compile_order -fileset sources_1
ipx::package_project -root_dir $$root -vendor user -library sterna -taxonomy /UserIP -import_files
set core [ipx::current_core]
set_property name $top $$core
set_property display_name {Sterna $digest} $$core
foreach bus {s_axil $buses} {
    ipx::associate_bus_interfaces -busif $$bus -clock aclk $$core
}
set clock [ipx::get_bus_interfaces aclk -of_objects $$core]
set frequency [ipx::add_bus_parameter FREQ_HZ $$clock]
set_property value $clock_hz $$frequency
ipx::create_xgui_files $$core
ipx::update_checksums $$core
ipx::save_core $$core
close_project
""")

_PART = "xcu250-figd2104-2L-e"
"""The FPGA of an Alveo U250. A packaged core can be used with others of its family."""


def describe(chip: Axi4Chip, clock_hz: int, verilog: str, sha256: str) -> dict[str, Any]:
    """Return what whoever puts the chip into a design has to know, for JSON."""
    config = chip.chip.config
    memory = AXI4[config.memory]
    return {
        "verilog": verilog,
        "sha256": sha256,
        "top": "sterna",
        "configuration": config.digest,
        "chip": config.to_dict(),
        "clock": {"port": "aclk", "hz": clock_hz},
        "reset": {"port": "aresetn", "active": "low", "resets": "the chip and all of its ports"},
        "registers": {
            "interface": "s_axil",
            "protocol": "AXI4-Lite",
            "bytes": BAR_BYTES,
            "offsets": {
                **{name: 4 * register.address for name, register in REGISTERS.items()},
                "LINK": LINK,
            },
        },
        "memory": {
            "name": config.memory,
            "interfaces": [
                {
                    "interface": f"m_axi_{number}",
                    "first_byte": number * memory.spacing,
                    "bytes": memory.port_bytes,
                }
                for number in range(memory.ports)
            ],
            "protocol": "AXI4",
            "data_bits": memory.data_bits,
            "address_bits": memory.address_bits,
            "burst_beats": BEATS,
            "read_bursts": memory.outstanding,
            "write_bursts": 1,
            "ids": 1,
        },
        "ports": [
            {
                "name": name,
                "direction": "output" if member.flow == Out else "input",
                "bits": member.shape if isinstance(member.shape, int) else 1,
            }
            for name, member in chip.signature.members.items()
        ],
    }


def write_beside(path: Path, chip: Axi4Chip, clock_hz: int, sha256: str) -> None:
    """Write the JSON and the Vivado script of a chip's Verilog beside it, under the same name."""
    facts = describe(chip, clock_hz, path.name, sha256)
    script = _SCRIPT.substitute(
        verilog=path.name,
        script=path.with_suffix(".tcl").name,
        top=facts["top"],
        digest=facts["configuration"],
        buses=" ".join(port["interface"] for port in facts["memory"]["interfaces"]),
        clock_hz=clock_hz,
        part=_PART,
    )
    for suffix, text in ((".json", json.dumps(facts, indent=2) + "\n"), (".tcl", script)):
        with whole_file(path.with_suffix(suffix)) as file:
            file.write(text.encode())
