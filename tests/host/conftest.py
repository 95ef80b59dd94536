"""Small model files made by the command itself, and a way to call it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sterna.cli import main
from tests.synthetic import write_checkpoint


@dataclass
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """One sentence on stderr that holds all of the words, exit status 2, and nothing else."""
        assert self.status == 2
        assert self.out == ""
        assert self.err.startswith("sterna: ")
        assert self.err.count("\n") == 1
        for word in words:
            assert word in self.err

    def usage_error(self, *words: str) -> None:
        """The same of wrong options, with the command that tells which there are."""
        self.refused("see `sterna", "--help`", *words)


@pytest.fixture
def sterna(capsys, monkeypatch) -> Callable[..., Result]:
    """Call the command in this process: an exception that it does not handle fails the test."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["sterna", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return Result(status, printed.out, printed.err)

    return call


@dataclass(frozen=True)
class Files:
    """A checkpoint and the model file made of it."""

    checkpoint: Path
    model: Path


def _make(folder: Path, **options: object) -> Files:
    checkpoint = write_checkpoint(folder / "checkpoint", layers=1, **options)
    model = folder / "m.sterna"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sterna", "convert", str(checkpoint), "-o", str(model)])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    return Files(checkpoint, model)


@pytest.fixture(scope="session")
def text(tmp_path_factory) -> Files:
    """With a tokenizer."""
    return _make(tmp_path_factory.mktemp("text"), vocab=260, tokenizer=True)


@pytest.fixture(scope="session")
def numbers(tmp_path_factory) -> Files:
    """Without a tokenizer, 61 tokens."""
    return _make(tmp_path_factory.mktemp("numbers"), vocab=61)
