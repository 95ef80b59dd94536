"""Checkpoints of the published shapes, as a script makes them."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models import synthetic
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.model import container
from sterna.model.checkpoint import Checkpoint
from sterna.model.convert import convert

SMALL = {"hidden_size": 48, "num_hidden_layers": 3, "intermediate_size": 80}


def test_published_sizes() -> None:
    """Parameters as the reference's code makes them."""
    sizes = {
        name: sum(
            int(np.prod(size)) for size in synthetic._tensors(32000, *shape.values()).values()
        )
        for name, shape in synthetic.SHAPES.items()
    }
    assert sizes == {"370M": 374_108_160, "1.3B": 1_364_779_008, "2.7B": 2_702_357_504}


def test_shards_convert_and_talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "SHARD_BYTES", 30_000)
    synthetic.write(tmp_path, SMALL, vocab=300)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    again = tmp_path / "again"
    synthetic.write(again, SMALL, vocab=300)
    assert Checkpoint(again).sha256 == Checkpoint(tmp_path).sha256
    model = convert(tmp_path)
    assert model.shape.ternary_weights == 3 * (4 * 48 * 48 + 3 * 48 * 80) + 300 * 48
    assert max(model.meta["near_threshold"].values()) < 0.02
    assert len(list(GoldenDevice(model).generate([1], 5, Sampling()))) == 5


@pytest.mark.slow
def test_370m(tmp_path: Path) -> None:
    """In less than 2 GB and 2 minutes to a file; from it, 5 tokens a second."""
    synthetic.write(tmp_path / "checkpoint", synthetic.SHAPES["370M"])
    code = (
        "import resource, sys; from sterna.cli import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    begun = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "convert",
            tmp_path / "checkpoint",
            "-o",
            tmp_path / "m.sterna",
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert time.monotonic() - begun < 120
    assert int(done.stdout) * 1024 < 2e9
    device = GoldenDevice(container.load(tmp_path / "m.sterna"))
    tokens = device.generate([1], 21, Sampling(temperature=1.0))
    next(tokens)
    begun = time.monotonic()
    count = len(list(tokens))
    assert count == 20
    speed = count / (time.monotonic() - begun)
    print(f"{speed:.1f} tokens/s")
    assert speed >= 5
