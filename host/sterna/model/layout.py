"""Lay a model out for one chip configuration: what the chip's RAMs hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sterna.errors import InputError
from sterna.model.compact import lay_out_tape, vector_memory
from sterna.model.model import Model
from sterna.model.outline import Outline
from sterna.model.sizes import (
    absent,
    ceil_div,
    check_fit,
    check_memory,
    cuts,
    fit,
    needs,
    row_blocks,
    tape_blocks,
)
from sterna.spec.chip import ChipConfig
from sterna.spec.memories import external
from sterna.spec.program import Op
from sterna.spec.registers import Memory
from sterna.spec.tape import Header, checksum, encode_headers, headers_in_word
from sterna.spec.trits import pack, unpack

__all__ = ["Image", "Segment", "fit", "lay_out", "ram_pieces", "read_back"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a segment lies.

    Attributes
    ----------
    step : int
        Number of the model's step that it belongs to.
    header : Header
    first_word, words : int
        Its weight words on the tape.
    """

    step: int
    header: Header
    first_word: int
    words: int


@dataclass(frozen=True)
class Image:
    """Contents of a chip's RAMs, and of the memory beside it, for one model.

    Attributes
    ----------
    tape : numpy.ndarray
        uint32 [words, pieces]: tape words, lowest 32 bits first.
    vector_a, vector_b : numpy.ndarray
        uint16 [words, E].
    embedding : numpy.ndarray
        uint32 [words, pieces]: E elements a word, the first in the lowest bits; none if the chip
        has a memory beside it.
    external : numpy.ndarray
        uint32 [blocks, 4]: that memory, the tape and behind it the embedding. A tape word begins
        with a word of the memory, a row of the embedding with a block.
    tape_blocks : int
        Blocks of it that hold the tape.
    segments : tuple of Segment
    vocab : int
    """

    tape: np.ndarray
    vector_a: np.ndarray
    vector_b: np.ndarray
    embedding: np.ndarray
    external: np.ndarray
    tape_blocks: int
    segments: tuple[Segment, ...]
    vocab: int

    def memories(self) -> dict[Memory, np.ndarray]:
        """What is loaded into each memory: uint32 [words, pieces], lowest piece first."""
        vectors = {
            Memory.VECTOR_A: ram_pieces(self.vector_a),
            Memory.VECTOR_B: ram_pieces(self.vector_b),
        }
        if not len(self.embedding) and not self.tape_blocks:  # a compact chip
            return {Memory.TAPE: self.tape, Memory.VECTOR_A: vectors[Memory.VECTOR_A]}
        if self.tape_blocks:
            return {**vectors, Memory.EXTERNAL: self.external}
        return {Memory.TAPE: self.tape, **vectors, Memory.EMBEDDING: self.embedding}


def ram_pieces(words: np.ndarray) -> np.ndarray:
    """RAM words of small integers [words, E] as uint32 [words, pieces], lowest piece first."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    padded = np.zeros((len(raw), -(-raw.shape[1] // 4) * 4), dtype=np.uint8)
    padded[:, : raw.shape[1]] = raw
    return padded.view("<u4")


class _SideRam:
    """Vectors one after the other, each padded to whole words of E elements."""

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self.parts: list[np.ndarray] = []
        self.address: dict[str, int] = {}
        self.words = 0

    def add(self, name: str | None, vector: np.ndarray | None) -> int:
        """Address of a vector, which is stored when its name is first seen."""
        if name is None or vector is None:
            return 0
        if name not in self.address:
            self.address[name] = self.words
            words = ceil_div(len(vector), self.elements)
            padded = np.zeros(words * self.elements, dtype=np.int64)
            padded[: len(vector)] = vector
            self.parts.append((padded & 0xFFFF).astype(np.uint16).reshape(words, -1))
            self.words += words
        return self.address[name]

    def image(self) -> np.ndarray:
        return np.concatenate(self.parts) if self.parts else np.zeros((0, self.elements), np.uint16)


def _weight_words(trits: np.ndarray, config: ChipConfig) -> np.ndarray:
    """Trits [rows, columns] in the order in which the lanes want them, [words, R x C].

    Block of C columns after block; within a block, R rows after R rows. Zeros pad both.
    """
    rows, columns = trits.shape
    groups, blocks = ceil_div(rows, config.rows), ceil_div(columns, config.columns)
    padded = np.zeros((groups * config.rows, blocks * config.columns), dtype=np.int8)
    padded[:rows, :columns] = trits
    tiled = padded.reshape(groups, config.rows, blocks, config.columns)
    return tiled.transpose(2, 0, 1, 3).reshape(blocks * groups, config.lanes)


def _pieces(bits: np.ndarray) -> np.ndarray:
    """Bits [words, n], lowest first, as uint32 [words, pieces]."""
    width = ceil_div(bits.shape[1], 32) * 32
    padded = np.zeros((len(bits), width), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u4")


def _embedding_pieces(table: np.ndarray, config: ChipConfig) -> np.ndarray:
    """Rows of the embedding one after the other, each padded to whole words, in pieces."""
    words = np.pad(table, ((0, 0), (0, -table.shape[1] % config.elements)))
    return ram_pieces(_element_bytes(words.reshape(-1, config.elements), config))


def _element_bytes(words: np.ndarray, config: ChipConfig) -> np.ndarray:
    """Elements int8 [words, n] as bytes, two of 4 bits in one."""
    raw = words.view(np.uint8)
    if config.embedding_bits == 8:
        return raw
    raw = np.pad(raw & 15, ((0, 0), (0, raw.shape[1] % 2)))
    return raw[:, ::2] | raw[:, 1::2] << 4


def _external(tape: np.ndarray, table: np.ndarray, config: ChipConfig) -> np.ndarray:
    """Return the memory beside the chip, uint32 [blocks, pieces]."""
    memory = external(config.memory)
    block, word = memory.block_bits // 8, memory.word_bits // 8
    taken = ceil_div(config.word_bits, memory.word_bits) * word  # bytes that a tape word takes
    pieces = np.ascontiguousarray(tape).view(np.uint8)[:, :taken]
    words = np.zeros((len(tape), taken), dtype=np.uint8)
    words[:, : pieces.shape[1]] = pieces
    laid = np.zeros(tape_blocks(len(tape), config) * block, dtype=np.uint8)
    laid[: words.size] = words.reshape(-1)
    rows = _element_bytes(table, config)
    padded = np.zeros((len(table), row_blocks(table.shape[1], config) * block), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    return np.concatenate([laid, padded.reshape(-1)]).view("<u4").reshape(-1, block // 4)


def _headers(
    model: Model, config: ChipConfig, a: _SideRam, b: _SideRam
) -> list[tuple[int, Header, np.ndarray]]:
    """Step number, header and weight pieces of every segment."""
    result = []
    matrix: np.ndarray | None = None  # of the step that is being cut
    state_words = ceil_div(model.shape.width, config.elements)
    for cut in cuts(model.steps, config):
        step = cut.step
        vector_q = (
            a.add("embedding_scale", model.embedding_scale)
            if step.op is Op.EMBED
            else b.add(step.vector_q, model.vectors.get(step.vector_q or ""))
        )
        header = Header(
            op=step.op,
            last=0,
            stats=cut.stats,
            rows=cut.rows,
            groups=cut.groups,
            blocks=cut.blocks,
            source_words=ceil_div(step.columns or step.rows, config.elements),
            row=cut.row,
            more=int(cut.row + cut.rows < step.rows),
            vector_a=a.add(step.vector_a, model.vectors.get(step.vector_a or "")),
            vector_b=b.add(step.vector_b, model.vectors.get(step.vector_b or "")),
            vector_q=vector_q,
            state=step.layer * state_words,
            bounded=int(step.op is Op.STATE and step.vector_a is not None),
            scale_mantissa=step.scale[0],
            scale_exponent=step.scale[1],
            eps_mantissa=step.eps[0],
            eps_exponent=step.eps[1],
            eps_constant=step.eps_constant,
            sigmoid_shift=step.sigmoid_shift,
            out_shift=step.out_shift,
            residual_shift=step.residual_shift,
        )
        pieces = np.zeros((0, ceil_div(config.word_bits, 32)), dtype=np.uint32)
        if step.op is not Op.EMBED:
            if matrix is None or cut.row == 0:
                matrix = model.trits[step.name]
            words = _weight_words(matrix[cut.row : cut.row + cut.rows], config)
            pieces = _pieces(pack(words, config.packing))
        found = checksum(pieces, config.word_bits)
        result.append((cut.number, replace(header, checksum=found), pieces))
    number, header, pieces = result[-1]
    result[-1] = (number, replace(header, last=1), pieces)
    return result


def lay_out(model: Model, config: ChipConfig, streamed: bool = False) -> Image:
    """Lay out a model for a chip.

    Parameters
    ----------
    model : Model
    config : ChipConfig
    streamed : bool
        The tape may be longer than the chip's RAM for it.

    Raises
    ------
    InputError
        If the model does not fit, with the RAM, what is needed and what there is.
    """
    needed = needs(Outline.of(model), config)
    left_out = absent(config) | ({"tape_words"} if streamed else set())
    check_fit({name: need for name, need in needed.items() if name not in left_out}, config)
    if config.memory:
        check_memory(Outline.of(model), config)
    a, b = _SideRam(config.elements), _SideRam(config.elements)
    parts = _headers(model, config, a, b)
    if config.compact:
        return _compact(model, parts, a.image()[:, 0], b.image()[:, 0])
    tape: list[np.ndarray] = []
    segments: list[Segment] = []
    position = 0
    shared = headers_in_word(config.word_bits)
    # Headers run one segment ahead: they lie before the words of the segment before theirs.
    for index in range(len(parts) + 1):
        if index < len(parts) and index % shared == 0:
            headers = [header for _, header, _ in parts[index : index + shared]]
            tape.append(encode_headers(headers, config.word_bits))
            position += len(tape[-1])
        if index > 0:
            number, header, pieces = parts[index - 1]
            segments.append(Segment(number, header, position, len(pieces)))
            tape.append(pieces)
            position += len(pieces)
    words, table = np.concatenate(tape), model.embedding
    beside = config.memory != ""
    image = Image(
        tape=words,
        vector_a=a.image(),
        vector_b=b.image(),
        embedding=_embedding_pieces(table[:0] if beside else table, config),
        external=_external(words, table, config) if beside else np.zeros((0, 4), np.uint32),
        tape_blocks=tape_blocks(len(words), config) if beside else 0,
        segments=tuple(segments),
        vocab=len(model.embedding),
    )
    return image


def _compact(
    model: Model, parts: list[tuple[int, Header, np.ndarray]], a: np.ndarray, b: np.ndarray
) -> Image:
    """Return the image of a compact chip: side RAM A is all its vector memory."""
    tape, segments = lay_out_tape(parts, (len(a), len(b)), model.shape.hidden)
    return Image(
        tape=tape,
        vector_a=vector_memory(a, b, model.embedding)[:, None],
        vector_b=np.zeros((0, 1), np.uint16),
        embedding=np.zeros((0, 1), np.uint32),
        external=np.zeros((0, 4), np.uint32),
        tape_blocks=0,
        segments=tuple(segments),
        vocab=len(model.embedding),
    )


def read_back(image: Image, config: ChipConfig) -> dict[int, np.ndarray]:
    """Decode a tape into the trits of every step that has weights, checking each checksum.

    Padding rows are cut off. Columns are padded to whole words of the source: a header does not
    say more.
    """
    steps: dict[int, list[np.ndarray]] = {}
    for segment in image.segments:
        header = segment.header
        pieces = image.tape[segment.first_word : segment.first_word + segment.words]
        if checksum(pieces, config.word_bits) != header.checksum:
            raise InputError(f"segment of step {segment.step}: the tape's checksum does not match")
        if segment.words == 0:
            continue
        bits = np.unpackbits(pieces.view(np.uint8), axis=1, bitorder="little")
        words = unpack(bits[:, : config.word_bits], config.lanes, config.packing)
        tiled = words.reshape(header.blocks, header.groups, config.rows, config.columns)
        trits = tiled.transpose(1, 2, 0, 3).reshape(header.groups * config.rows, -1)
        columns = header.source_words * config.elements
        steps.setdefault(segment.step, []).append(trits[: header.rows, :columns])
    return {number: np.concatenate(parts) for number, parts in steps.items()}
