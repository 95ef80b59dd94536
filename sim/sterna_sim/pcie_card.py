"""A card for PCIe: the hard block around a chip, and a Vivado script that builds both."""

from __future__ import annotations

from pathlib import Path
from string import Template

from sterna.files import whole_file
from sterna.spec.pcie import BAR_BYTES, DEVICE, VENDOR
from sterna_rtl.pcie_chip import PcieChip

__all__ = ["BESIDE", "LINKS", "write_card"]

LINKS = {64: (3, 1, 125e6), 128: (3, 4, 250e6), 256: (3, 8, 250e6), 512: (3, 16, 250e6)}
"""Generation, lanes and user clock at which the block has beats of so many bits."""

BESIDE = (".top.v", ".tcl")
"""Suffixes of what `write_card` writes."""

_STREAMS = {
    "cq": ("m_axis_cq", {64: 88, 128: 88, 256: 88, 512: 183}),
    "cc": ("s_axis_cc", {64: 33, 128: 33, 256: 33, 512: 81}),
    "rq": ("s_axis_rq", {64: 62, 128: 62, 256: 62, 512: 137}),
    "rc": ("m_axis_rc", {64: 75, 128: 75, 256: 75, 512: 161}),
}
"""The block's streams, and bits of their sideband, as PG213 has them."""

_TOP = Template("""\
// An Alveo U200 with Sterna: its clock, the PCIe block and the chip in $verilog.
// Linted, untried: nobody has built this.
module sterna_card (
    input pcie_refclk_p, pcie_refclk_n, pcie_reset_n,
    input [$high:0] pcie_rx_p, pcie_rx_n,
    output [$high:0] pcie_tx_p, pcie_tx_n
);
    wire sys_clk, sys_clk_gt, clk, rst;
    wire [2:0] max_read;
$wires
    IBUFDS_GTE4 #(.REFCLK_HROW_CK_SEL(2'b00)) refclk (
        .I(pcie_refclk_p), .IB(pcie_refclk_n), .CEB(1'b0), .O(sys_clk_gt), .ODIV2(sys_clk)
    );

    pcie_block block (
        .sys_clk(sys_clk), .sys_clk_gt(sys_clk_gt), .sys_reset(pcie_reset_n),
        .pci_exp_rxp(pcie_rx_p), .pci_exp_rxn(pcie_rx_n),
        .pci_exp_txp(pcie_tx_p), .pci_exp_txn(pcie_tx_n),
        .user_clk(clk), .user_reset(rst), .cfg_max_read_req(max_read),
$block
        .pcie_cq_np_req(2'b11), .cfg_config_space_enable(1'b1),
        .cfg_link_training_enable(1'b1), .cfg_power_state_change_ack(1'b1)
    );

    sterna chip (
        .clk(clk), .rst(rst),
$chip
    );
endmodule
""")

_SCRIPT = Template("""\
# Builds a bitstream for an Alveo U200: vivado -mode batch -source $script
# Linted, untried: the commands and settings are Vivado's documented ones, but nobody has run this.
set here [file dirname [file normalize [info script]]]
set project [file join $$here $name-u200]
create_project -force $name-u200 $$project -part xcu200-fsgd2104-2-e
add_files -norecurse [list [file join $$here $verilog] [file join $$here $top]]
create_ip -name pcie4_uscale_plus -vendor xilinx.com -library ip -module_name pcie_block
set_property -dict [list \\
$settings
] [get_ips pcie_block]
generate_target all [get_ips pcie_block]
set constraints [file join $$project card.xdc]
set file [open $$constraints w]
puts $$file {set_property PACKAGE_PIN AM11 [get_ports pcie_refclk_p]}
puts $$file {set_property PACKAGE_PIN AM10 [get_ports pcie_refclk_n]}
puts $$file {set_property PACKAGE_PIN BD21 [get_ports pcie_reset_n]}
puts $$file {set_property IOSTANDARD LVCMOS12 [get_ports pcie_reset_n]}
puts $$file {set_property PULLUP true [get_ports pcie_reset_n]}
puts $$file {set_false_path -from [get_ports pcie_reset_n]}
puts $$file {create_clock -period 10 -name pcie_refclk [get_ports pcie_refclk_p]}
close $$file
add_files -fileset constrs_1 -norecurse $$constraints
set_property top sterna_card [current_fileset]
update_compile_order -fileset sources_1
launch_runs impl_1 -to_step write_bitstream
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "the build did not come to its end; see $$project"
}
if {[get_property STATS.WNS [get_runs impl_1]] < 0} {
    error "the chip does not reach the block's clock of $mhz MHz"
}
close_project
""")


def _top(verilog: str, width: int, dma: bool) -> str:
    """The card's top."""
    _, lanes, _ = LINKS[width]
    bits = {"tdata": width, "tkeep": width // 32, "tlast": 1, "tvalid": 1, "tready": 1}
    wires, block, chip = [], [], []
    for short, (name, users) in _STREAMS.items():
        fields = {**bits, "tuser": users[width]}
        wires += [f"    wire [{size - 1}:0] {short}_{field};" for field, size in fields.items()]
        block.append(
            "        " + " ".join(f".{name}_{field}({short}_{field})," for field in fields)
        )
        if dma or short in ("cq", "cc"):
            chip.append("        " + ", ".join(f".{name}_{f}({short}_{f})" for f in fields))
    if dma:
        chip.append("        .cfg_max_read_req(max_read)")
    else:
        wires.append("    assign rq_tvalid = 1'b0, rc_tready = 1'b1;")
        unused = ("tdata", "tkeep", "tlast", "tuser")
        wires.append("    assign " + ", ".join(f"rq_{field} = 0" for field in unused) + ";")
    return _TOP.substitute(
        verilog=verilog,
        high=lanes - 1,
        wires="\n".join(wires),
        block="\n".join(block),
        chip=",\n".join(chip),
    )


def _settings(width: int) -> dict[str, object]:
    """What the block is to be set to, beside what it is by itself."""
    generation, lanes, clock = LINKS[width]
    straddles = (
        [f"AXISTEN_IF_EXT_512_{each}_STRADDLE" for each in ("CQ", "CC", "RQ", "RC")]
        if width == 512
        else ["AXISTEN_IF_RC_STRADDLE"] * (width == 256)
    )
    return {
        "PL_LINK_CAP_MAX_LINK_SPEED": {3: "8.0_GT/s"}[generation],
        "PL_LINK_CAP_MAX_LINK_WIDTH": f"X{lanes}",
        "axisten_if_width": f"{width}_bit",
        "axisten_freq": round(clock / 1e6),
        **dict.fromkeys(straddles, "false"),
        "axisten_if_enable_client_tag": "true",
        "extended_tag_field": "true",
        "vendor_id": f"{VENDOR:04x}",
        "PF0_DEVICE_ID": f"{DEVICE:04x}",
        "PF0_CLASS_CODE": "120000",
        "pf0_bar0_scale": "Kilobytes",
        "pf0_bar0_size": BAR_BYTES // 1024,
    }


def write_card(path: Path, chip: PcieChip, width: int) -> None:
    """Write a card's top and the Vivado script beside a chip's Verilog, under the same name."""
    top, script = (path.with_suffix(suffix) for suffix in BESIDE)
    text = _SCRIPT.substitute(
        script=script.name,
        name=path.stem,
        verilog=path.name,
        top=top.name,
        settings="\n".join(
            f"    CONFIG.{name} {{{value}}} \\" for name, value in _settings(width).items()
        ),
        mhz=round(LINKS[width][2] / 1e6),
    )
    for place, written in ((top, _top(path.name, width, chip.dma is not None)), (script, text)):
        with whole_file(place) as file:
            file.write(written.encode())
