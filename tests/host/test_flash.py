"""sterna flash: what the loader is called with, and what is refused before it is."""

import hashlib
import json
from pathlib import Path

import pytest

from sterna import bitstream
from sterna.spec.boards import TARGETS
from sterna.spec.chip import REFERENCE
from sterna.spec.registers import INTERFACE_VERSION

LOADER = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/arguments
for file; do true; done
/bin/cat "$file" > {folder}/given
echo "{says}" >&2
exit {status}
"""


@pytest.fixture
def folder(tmp_path):
    """A bitstream with its manifest."""
    (tmp_path / bitstream.NAME).write_bytes(bitstream.pack(b"bits"))
    manifest = {
        "board": "ulx3s-85f",
        "configuration": REFERENCE.to_dict(),
        "digest": REFERENCE.digest,
        "interface_version": INTERFACE_VERSION,
        "sha256": hashlib.sha256(b"bits").hexdigest(),
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.fixture
def loader(folder, monkeypatch):
    """Put a program that notes its arguments in the loader's place; return a function for that."""

    def install(name="openFPGALoader", says="", status=0):
        path = folder / "bin"
        path.mkdir(exist_ok=True)
        (path / name).write_text(LOADER.format(folder=folder, says=says, status=status))
        (path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(path))

    return install


def change(folder, **fields):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("name", ["openFPGALoader", "openfpgaloader-cli"])
@pytest.mark.parametrize("keep", [False, True])
def test_calls_the_loader(sterna, folder, loader, name, keep):
    loader(name)
    result = sterna("flash", "--board", "ulx3s-85f", "--folder", folder, *["--keep"] * keep)
    assert result.status == 0
    assert f"configuration {REFERENCE.digest}" in result.out
    *options, file = (folder / "arguments").read_text().split()
    assert options == ["--board", "ulx3s", *["--write-flash"] * keep]
    assert (folder / "given").read_bytes() == b"bits"
    assert Path(file).name == "chip.bit"
    assert not Path(file).exists()


def test_json(sterna, folder, loader):
    loader()
    result = sterna("flash", "--board", "ulx3s-85f", "--folder", folder, "--json")
    facts = json.loads(result.out)
    assert (facts["board"], facts["kept"]) == ("ulx3s-85f", False)
    assert facts["sha256"] == hashlib.sha256(b"bits").hexdigest()


@pytest.mark.parametrize("board", TARGETS)
def test_shipped_bitstream_is_that_of_its_manifest(sterna, folder, loader, monkeypatch, board):
    """Found from the root of a clone; one that was made for an older host is refused."""
    loader()
    monkeypatch.chdir(Path(__file__).parents[2])
    result = sterna("flash", "--board", board)
    manifest = Path("bitstreams") / board / "manifest.json"
    if not manifest.exists():
        result.refused("manifest.json")
    elif json.loads(manifest.read_text())["interface_version"] != INTERFACE_VERSION:
        result.refused("chip.bit.xz has version")
    else:
        assert result.status == 0
        assert f"bitstreams/{board}/chip.bit.xz is in" in result.out
        digest = hashlib.sha256((folder / "given").read_bytes()).hexdigest()
        assert digest == json.loads(manifest.read_text())["sha256"]


def test_without_a_loader(sterna, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    result = sterna("flash", "--board", "ulx3s-85f", "--folder", folder)
    result.refused("openFPGALoader is not installed", "apt install openfpgaloader")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"board": "other"}, ("is for other, not for ulx3s-85f",)),
        ({"interface_version": 1}, ("version 1 of the registers", str(INTERFACE_VERSION))),
        ({"sha256": "0" * 64}, ("is not the file of its manifest",)),
        ({"digest": "0" * 16}, ("names digest 0000000000000000", REFERENCE.digest)),
        ({"configuration": {}}, ("missing or unknown field",)),
    ],
)
def test_what_does_not_belong_together(sterna, folder, loader, fields, words):
    loader()
    change(folder, **fields)
    sterna("flash", "--board", "ulx3s-85f", "--folder", folder).refused(*words)
    assert not (folder / "arguments").exists()


def test_incomplete_folders(sterna, folder, loader):
    loader()
    sterna("flash", "--board", "nexys").refused("'nexys'", "ulx3s-85f")
    packed = folder / "chip.bit.xz"
    for damaged in (packed.read_bytes()[:-1], b"bits"):
        packed.write_bytes(damaged)
        result = sterna("flash", "--board", "ulx3s-85f", "--folder", folder)
        result.refused("not a whole xz file", "chip.bit.xz")
    packed.unlink()
    sterna("flash", "--board", "ulx3s-85f", "--folder", folder).refused("cannot read", packed.name)
    (folder / "manifest.json").write_text("{}")
    sterna("flash", "--board", "ulx3s-85f", "--folder", folder).refused("does not name 'board'")


@pytest.mark.parametrize(
    "says, advice",
    [
        ("unable to open ftdi device: -4 (usb_open() failed)", "is it plugged in"),
        ("LIBUSB_ERROR_ACCESS: permission denied", "udev rule"),
        ("something else", "openFPGALoader failed (something else)"),
        ("", "exit status 3"),
    ],
)
def test_failures_are_told_in_words(sterna, folder, loader, says, advice):
    loader(says=says, status=3)
    result = sterna("flash", "--board", "ulx3s-85f", "--folder", folder)
    assert (result.status, result.out) == (3, "")
    assert advice in result.err
    assert result.err.strip().count("\n") == 0
