"""sterna verilog: a chip with a UART as one Verilog file."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.options import check_output
from sterna.errors import InputError
from sterna.spec.chip import REFERENCE, ChipConfig

__all__ = ["verilog_command"]

WRITERS = "sterna.verilog"
"""Entry point of the gateware package: a function of path, configuration and clock."""


def verilog_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="the .v file to write")],
    config: Annotated[
        Path | None, typer.Option(help="JSON of a chip configuration; by default the reference")
    ] = None,
    clock_hz: Annotated[
        int, typer.Option(min=500_000, max=10**9, help="clocks per second, for the UART")
    ] = 48_000_000,
) -> None:
    """Write the gateware for tools that read Verilog."""
    check_output(output)
    chosen = load_config(config) if config else REFERENCE
    writers = list(entry_points(group=WRITERS))
    try:
        write = writers[0].load()
    except (ImportError, IndexError) as error:
        raise InputError("Verilog needs the gateware: `pip install sterna[sim]`") from error
    digest = write(output, chosen, clock_hz)
    print(f"{output}: configuration {chosen.digest}, SHA-256 {digest}")


def load_config(path: Path) -> ChipConfig:
    """Read a chip configuration."""
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a chip configuration")
    return ChipConfig.from_dict(values)
