"""sterna verilog: a chip with a UART, for PCIe, or with AXI4 ports, as one Verilog file."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.options import JsonOption, check_output, print_json
from sterna.cli.progress import showing
from sterna.errors import InputError
from sterna.model.checkpoint import read_json
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.pcie import BEAT_BITS

__all__ = ["verilog_command"]

WRITERS = "sterna.verilog"
"""Entry point of the gateware package, see `sterna_sim.verilog.write_verilog`."""


def _beside(config: ChipConfig, pcie: int | None) -> tuple[str, ...]:
    """Suffixes of what is written beside a chip's Verilog."""
    if pcie:
        return () if config.memory else (".top.v", ".tcl")
    return (".json", ".tcl") if config.memory in AXI4 else ()


def verilog_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="the .v file to write")],
    config: Annotated[
        Path | None,
        typer.Option(
            help="JSON of a chip configuration, by default the reference; one with a memory behind "
            "AXI4 has AXI4-Lite instead of a UART, and a description and a Vivado script beside it"
        ),
    ] = None,
    clock_hz: Annotated[
        int, typer.Option(min=500_000, max=10**9, help="clocks per second, for the UART")
    ] = 48_000_000,
    pcie: Annotated[
        int | None,
        typer.Option(
            help="no UART: streams of an UltraScale+ PCIe block, so many bits wide; with a top for "
            "an Alveo U200 and a Vivado script beside it, unless the chip has a memory"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the gateware for tools that read Verilog."""
    if pcie not in (None, *BEAT_BITS):
        bits = ", ".join(map(str, BEAT_BITS))
        raise InputError(f"streams of the PCIe block have {bits} bits, not {pcie}")
    check_output(output)
    chosen = ChipConfig.from_dict(read_json(config)) if config else REFERENCE
    for suffix in _beside(chosen, pcie):
        if output.with_suffix(suffix) in (output, config):
            raise InputError(f"{output} and what lies beside it must be other files than these")
        check_output(output.with_suffix(suffix))
    writers = list(entry_points(group=WRITERS))
    try:
        write = writers[0].load()
    except (ImportError, IndexError) as error:
        raise InputError("Verilog needs the gateware: `pip install sterna[sim]`") from error
    with showing(f"writing {output}"):
        digest = write(output, chosen, clock_hz, pcie)
    if json:
        facts = {"output": str(output), "configuration": chosen.digest, "sha256": digest}
        print_json(facts)
    else:
        print(f"{output}: configuration {chosen.digest}, SHA-256 {digest}")
