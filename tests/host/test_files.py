"""Files are there whole or not at all."""

import os

import pytest

from sterna.errors import InputError
from sterna.files import whole_file


def test_file_takes_its_place_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "raised, seen",
    [
        (KeyboardInterrupt, KeyboardInterrupt),
        (ValueError, ValueError),
        (BrokenPipeError, BrokenPipeError),
        (OSError(28, "No space left on device"), InputError),
    ],
)
def test_whatever_happens_the_old_file_stays(tmp_path, raised, seen):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with whole_file(path) as file:
            file.write(b"new")
            raise raised

    with pytest.raises(seen):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_no_directory(tmp_path):
    file = whole_file(tmp_path / "none" / "file")
    with pytest.raises(InputError, match=r"cannot write .*No such file"):
        file.__enter__()
