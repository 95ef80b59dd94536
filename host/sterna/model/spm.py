"""Read a SentencePiece model (`tokenizer.model`) without its library.

The file is one protocol buffer: pieces with scores, how it was trained, how text is normalised. It
becomes the same tokenizer as a `tokenizer.json` would give. Source: sentencepiece_model.proto; the
order of merges follows SentencePiece's BPE, which joins the pair whose piece has the best score.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from sterna.errors import InputError

__all__ = ["sentencepiece_tokenizer"]

SPACE = "\u2581"
"""Stands for a space in pieces."""

BPE = 2
"""TrainerSpec.model_type of byte pair encoding, the kind that Llama's models have."""

UNKNOWN, CONTROL, USER_DEFINED, BYTE = 2, 3, 4, 6
"""SentencePiece.type of pieces that are no ordinary text."""


def sentencepiece_tokenizer(content: bytes) -> str:
    """Text of a `tokenizer.json` that does what a SentencePiece model does.

    Raises
    ------
    InputError
        If the bytes are no SentencePiece model, or one of another kind than BPE.
    """
    try:
        pieces, trainer, normaliser = _model(content)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        UnicodeDecodeError,
        struct.error,
    ) as error:
        raise InputError("it is not a SentencePiece model; download it again") from error
    if trainer.get(3, 1) != BPE:
        raise InputError("it is a SentencePiece model of another kind than BPE")
    kinds = {piece: kind for piece, _, kind in pieces}
    vocab = {piece: token for token, (piece, _, _) in enumerate(pieces)}
    unknown = next((piece for piece, kind in kinds.items() if kind == UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(
            vocab,
            _merges(pieces, vocab),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=BYTE in kinds.values(),
        )
    )
    prefix = normaliser.get(3, 1)
    steps: list[normalizers.Normalizer] = []
    if normaliser.get(2):
        steps.append(normalizers.Precompiled(normaliser[2]))
    if normaliser.get(4, 1):
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    steps += [normalizers.Prepend(SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    last: list[decoders.Decoder] = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    )
    special = [piece for piece, kind in kinds.items() if kind in (UNKNOWN, CONTROL)]
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False) for piece in special])
    own = [piece for piece, kind in kinds.items() if kind == USER_DEFINED]
    tokenizer.add_tokens([AddedToken(piece, normalized=True) for piece in own])
    return tokenizer.to_str()


Pieces = list[tuple[str, float, int]]


def _model(content: bytes) -> tuple[Pieces, dict, dict]:
    """Pieces (text, score, type), and the fields of trainer_spec and normalizer_spec."""
    pieces: Pieces = []
    specs: dict[int, dict] = {2: {}, 3: {}}
    for number, value in _fields(content):
        if number == 1:
            piece = dict(_fields(value))
            score = struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0
            pieces.append((piece[1].decode(), score, piece.get(3, 1)))
        elif number in specs:
            specs[number] = dict(_fields(value))
    if not pieces:
        raise KeyError("pieces")
    return pieces, specs[2], specs[3]


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer: numbers for varints, bytes for everything else."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = content[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(content):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
            continue
        size = varint() if wire == 2 else {1: 8, 5: 4}[wire]
        if position + size > len(content):
            raise IndexError("a field ends beyond the file")
        yield number, content[position : position + size]
        position += size


def _merges(pieces: Pieces, vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of pieces that make a piece, the best score first."""
    merges = []
    for piece, score, kind in pieces:
        if kind in (UNKNOWN, CONTROL, BYTE):
            continue
        pairs = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [(a, b) for a, b in pairs if a in vocab and b in vocab]
        known.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        merges += [(-score, pair) for pair in known]
    merges.sort(key=lambda merge: merge[0])
    return [pair for _, pair in merges]
