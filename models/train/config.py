"""Configuration of a training run, read from a TOML file."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

__all__ = ["Config", "DataConfig", "ModelConfig", "Source", "TrainConfig"]


def _build(cls: type, table: dict[str, Any], where: str) -> Any:
    """Make ``cls`` from a TOML table and name the keys that it does not know."""
    unknown = set(table) - {f.name for f in fields(cls)}
    if unknown:
        raise ValueError(f"{where}: unknown keys {sorted(unknown)}")
    return cls(**table)


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a model.

    Parameters
    ----------
    vocab_size, hidden_size, num_hidden_layers, intermediate_size
        As in the published ``config.json``.
    rms_norm_eps
        Epsilon of the block norms; the norms inside BitLinear always use 1e-6.
    use_lower_bound
        Whether the forget gates have learned lower bounds.
    embedding_bits
        Width of a stored embedding entry. 0 leaves the table in floating point; otherwise it is
        rounded to multiples of `embedding_step` during training, so that nothing is lost later.
    embedding_step
        Distance of two embedding levels, a power of two, so that bfloat16 holds every level.
    embedding_rms
        Root mean square of a row of the embedding at the start, and the most it may reach.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    rms_norm_eps: float = 1e-6
    use_lower_bound: bool = True
    embedding_bits: int = 0
    embedding_step: float = 0.125
    embedding_rms: float = 0.25

    @property
    def ternary_weights(self) -> int:
        """Number of ternary weights, head included."""
        h, i = self.hidden_size, self.intermediate_size
        return self.num_hidden_layers * (4 * h * h + 3 * h * i) + self.vocab_size * h


@dataclass(frozen=True)
class Source:
    """A range of documents of one text file.

    Parameters
    ----------
    file
        Name of the file inside the corpus.
    weight
        How often its text occurs in one pass over the corpus; need not be whole.
    first, last
        The documents taken, ``first <= number < last``.
    vocabulary
        Whether the tokenizer is trained on it.
    """

    file: str
    weight: float = 1.0
    first: int = 0
    last: int = 1 << 30
    vocabulary: bool = True


@dataclass(frozen=True)
class DataConfig:
    """The text and how it is cut.

    Parameters
    ----------
    sources
        What one pass over the corpus holds.
    dev
        Documents kept out of training, at least one, as ``file:number``. The best state is chosen
        on them; other documents that share a longer paragraph with one of them are dropped.
    """

    sources: tuple[Source, ...]
    dev: tuple[str, ...]


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Parameters
    ----------
    seconds
        Wall time of the whole run without compilation; the learning rate follows it.
    window, batch
        Tokens per window and windows per step.
    lr
        Peak learning rate of AdamW.
    weight_decay
        Decay of the ternary matrices.
    warmup
        Steps of linear warm-up.
    dropout
        Probability of dropping an element of the embedding or of a branch before its addition.
    eval_seconds
        Time between two looks at the held-out documents.
    save_seconds
        Time between two saved states.
    seed
        Of the initial weights and the order of windows.
    """

    seconds: float
    window: int = 1024
    batch: int = 32
    lr: float = 1e-2
    weight_decay: float = 0.1
    warmup: int = 300
    dropout: float = 0.0
    eval_seconds: float = 10.0
    save_seconds: float = 180.0
    seed: int = 0


@dataclass(frozen=True)
class Config:
    """Everything about one model; see the parts."""

    name: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    prompts: tuple[str, ...] = field(default=())

    @classmethod
    def load(cls, path: str | Path) -> "Config":
        """Read a TOML file."""
        return cls.parse(tomllib.loads(Path(path).read_text()), str(path))

    @classmethod
    def parse(cls, table: dict[str, Any], where: str) -> "Config":
        """Make a configuration from a parsed TOML document; `where` is for messages."""
        data = dict(table["data"])
        sources = tuple(_build(Source, s, f"{where}: data.sources") for s in data["sources"])
        data.update(sources=sources, dev=tuple(data["dev"]))
        parts = {
            "model": _build(ModelConfig, table["model"], f"{where}: model"),
            "data": _build(DataConfig, data, f"{where}: data"),
            "train": _build(TrainConfig, table["train"], f"{where}: train"),
            "prompts": tuple(table.get("prompts", ())),
        }
        return _build(cls, {**table, **parts}, where)
