"""From text files to shuffled windows of tokens.

A corpus is a folder, or a tar archive of one, that holds text files; documents are separated by
``<|endoftext|>``. With a manifest (JSON, ``{"files": [{"file": ..., "sha256": ...}]}``) every file
is checked against its hash before use.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from .config import DataConfig, Source

__all__ = [
    "BOS",
    "EOS",
    "SPECIAL",
    "Corpus",
    "documents",
    "read_texts",
    "select",
    "train_tokenizer",
]

SEPARATOR = "<|endoftext|>"
SPECIAL = ("<unk>", "<s>", "</s>")
BOS, EOS = 1, 2
PLAIN = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--"}


def read_texts(path: str | Path, manifest: str | Path | None = None) -> dict[str, list[str]]:
    """Read a corpus.

    Parameters
    ----------
    path
        A folder of ``.txt`` files or a tar archive of one.
    manifest
        JSON file with the SHA-256 of every file that must be there.

    Returns
    -------
    dict
        Documents of each file, by its name.
    """
    path = Path(path)
    if path.is_dir():
        raw = {p.name: p.read_bytes() for p in sorted(path.glob("*.txt"))}
    else:
        with tarfile.open(path) as tar:
            members = [m for m in tar if m.isfile() and m.name.endswith(".txt")]
            raw = {Path(m.name).name: tar.extractfile(m).read() for m in members}
    if manifest is not None:
        for entry in json.loads(Path(manifest).read_text())["files"]:
            name, expected = entry["file"], entry["sha256"]
            found = hashlib.sha256(raw[name]).hexdigest() if name in raw else "nothing"
            if found != expected:
                raise ValueError(f"{name}: expected SHA-256 {expected}, found {found}")
    return {name: documents(data.decode()) for name, data in raw.items()}


def documents(text: str) -> list[str]:
    """Documents of a text, without surrounding space and empty ones."""
    return [d for d in (part.strip() for part in text.split(SEPARATOR)) if d]


def _paragraphs(text: str) -> set[str]:
    """The longer paragraphs of a text, by which it is recognised elsewhere."""
    return {line for line in text.splitlines() if len(line) > 80}


def select(
    texts: Mapping[str, list[str]], config: DataConfig
) -> tuple[list[tuple[Source, list[str]]], list[str]]:
    """Take what a configuration names out of a corpus.

    Returns
    -------
    list of (Source, list of str)
        The documents of every source, for training.
    list of str
        The held-out documents.
    """
    held = {(name, int(number)) for name, _, number in (key.rpartition(":") for key in config.dev)}
    dev = [texts[name][number] for name, number in sorted(held)]
    known = set().union(*map(_paragraphs, dev))
    train = []
    for source in config.sources:
        documents = enumerate(texts[source.file])
        chosen = [
            text
            for number, text in documents
            if source.first <= number < source.last
            and (source.file, number) not in held
            and known.isdisjoint(_paragraphs(text))
        ]
        train.append((source, chosen))
    return train, dev


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a BPE tokenizer whose letters are the bytes that the text has.

    Bytes that plain English never has would take some 160 places of a small vocabulary. Accents
    and typographic quotes become their plain forms; what is still unknown becomes ``<unk>``.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[0]))
    tokenizer.normalizer = normalizers.Sequence(
        [
            *(normalizers.Replace(old, new) for old, new in PLAIN.items()),
            normalizers.NFKD(),
            normalizers.StripAccents(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL[BOS]} $A", special_tokens=[(SPECIAL[BOS], BOS)]
    )
    return tokenizer


@dataclass(frozen=True)
class Corpus:
    """Tokens of a corpus, every document between ``<s>`` and ``</s>``.

    Parameters
    ----------
    tokens
        All sources one after the other.
    spans
        First token, number of tokens and weight of each source.
    dev
        Tokens of the held-out documents.
    dev_characters
        Characters of the held-out documents, to give their loss in bits per character.
    """

    tokens: np.ndarray
    spans: tuple[tuple[int, int, float], ...]
    dev: np.ndarray
    dev_characters: int

    @classmethod
    def build(
        cls, texts: Mapping[str, list[str]], config: DataConfig, tokenizer: Tokenizer
    ) -> "Corpus":
        """Tokenise what `config` names."""

        def encode(documents: list[str]) -> np.ndarray:
            ids = [[*e.ids, EOS] for e in tokenizer.encode_batch(documents)]
            return np.concatenate([np.asarray(i, np.uint16) for i in ids])

        train, dev = select(texts, config)
        parts = [encode(documents) for _, documents in train]
        ends = np.cumsum([len(p) for p in parts])
        spans = tuple(
            (int(end) - len(part), len(part), source.weight)
            for end, part, (source, _) in zip(ends, parts, train, strict=True)
        )
        return cls(np.concatenate(parts), spans, encode(dev), sum(map(len, dev)))

    def windows(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """First tokens of the windows of one pass over the corpus, in random order.

        A window has ``size + 1`` tokens: `size` of them are read and `size` predicted. The cuts
        are elsewhere in every pass. A source of weight 2.5 is cut three times, and half of the
        third cut is left out.
        """
        starts = []
        for begin, length, weight in self.spans:
            while weight > 0:
                phase = int(rng.integers(size))
                cut = begin + phase + np.arange((length - phase - 1) // size) * size
                starts.append(cut if weight >= 1 else cut[rng.random(len(cut)) < weight])
                weight -= 1
        return rng.permutation(np.concatenate(starts))
