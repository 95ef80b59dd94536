"""The examples of README and docs run, with a small model and a simulated board in their places."""

import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sterna import bitstream
from sterna.cli import main
from sterna.model import container
from sterna.model.layout import fit
from sterna.spec.chip import REFERENCE
from sterna.spec.registers import INTERFACE_VERSION
from sterna.spec.trits import Packing
from tests.chip.boards import plugged
from tests.synthetic import write_checkpoint

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "commands.md"]
NOT_HERE = ".venv/bin/hf download", "sterna build"
"""Examples that need the network, or place and route."""


@pytest.fixture
def sterna(capsys, monkeypatch):
    """Call the command; return what it prints."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sterna", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO("A line.\n"))
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code == 0, (arguments, printed.err)
        return printed.out

    return call


def commands(page):
    """Lines that are indented as examples and call something that can be run."""
    lines = re.findall(r"^    ((?:\.venv/bin/|python |sterna ).*)$", page.read_text(), re.MULTILINE)
    return [line for line in lines if not line.startswith(NOT_HERE)]


def write_bitstream(folder):
    """Write a bitstream that `sterna flash` takes, whatever the age of the one that is shipped."""
    folder.mkdir(parents=True)
    (folder / bitstream.NAME).write_bytes(bitstream.pack(b"bits"))
    manifest = {
        "board": folder.name,
        "configuration": REFERENCE.to_dict(),
        "digest": REFERENCE.digest,
        "interface_version": INTERFACE_VERSION,
        "sha256": hashlib.sha256(b"bits").hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples(page, sterna, tmp_path, monkeypatch):
    """Each ends with status 0, in the order of the page."""
    monkeypatch.chdir(tmp_path)
    options = {"vocab": 260, "hidden": 20, "layers": 1, "tokenizer": True}
    write_checkpoint(tmp_path / "CHECKPOINT_DIR", **options)
    write_checkpoint(tmp_path / "mmfree-370m", **options)
    (tmp_path / "text.txt").write_text("Terns are seabirds of the family Laridae. " * 20)
    (tmp_path / "models").symlink_to(ROOT / "models")
    write_bitstream(tmp_path / "bitstreams" / "ulx3s-85f")
    loader = tmp_path / "bin" / "openFPGALoader"  # there is no board that it could load
    loader.parent.mkdir()
    loader.write_text("#!/bin/sh\n")
    loader.chmod(0o755)
    monkeypatch.setenv("PATH", str(loader.parent), prepend=os.pathsep)
    sterna("convert", "CHECKPOINT_DIR", "-o", "board.sterna")
    names = set()
    lanes = {"rows": 1, "columns": 4, "elements": 4, "packing": Packing.TWO_BITS}
    config = fit(container.load("board.sterna"), **lanes)
    with plugged(config, tmp_path / "board.sterna", tmp_path) as (port, _):
        for command in commands(page):
            program, *arguments = shlex.split(command.replace("/dev/ttyUSB0", port))
            assert Path(program).name == "sterna"
            sterna(*arguments)
            if not any(word in command for word in ("sim", "uart", "verilog", "interactive")):
                names |= set(json.loads(sterna(*arguments, "--json")))
    table = (ROOT / "docs" / "commands.md").read_text().partition("## Names in JSON")[2]
    assert [name for name in sorted(names) if f"`{name}`" not in table] == []


def test_python_examples(sterna, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "checkpoint", vocab=260, layers=1, tokenizer=True)
    sterna("convert", "checkpoint", "-o", "model.sterna")
    found = 0
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
            found += 1
    assert found


def test_targets_that_pages_name():
    """Each `make X` of the pages is a target."""
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
