"""A chip behind a register port: identification, loading, tokens, logits, state, counters."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from sterna.device.device import Sampling, check_tokens
from sterna.device.draw import draw
from sterna.device.operations import Operation, RegisterPort, read, read_next, write
from sterna.errors import DeviceError, InputError, LinkReset
from sterna.golden.best import best_of
from sterna.golden.log_probability import log_scale, of_targets
from sterna.model.layout import Image, lay_out, ram_pieces
from sterna.model.model import Model
from sterna.spec.chip import ChipConfig
from sterna.spec.compact_chip import Area
from sterna.spec.fixed import LOG_PROBABILITY_BITS, STATE_BITS, VECTOR_BITS
from sterna.spec.memories import MEMORIES, external
from sterna.spec.registers import (
    CONFIG_REGISTERS,
    LAST,
    MORE,
    SLOT_SHIFT,
    SOURCE_SHIFT,
    STOPS,
    VALID,
    Control,
    Counter,
    Memory,
    Status,
)
from sterna.spec.trits import Packing

__all__ = [
    "ChipDevice",
    "Progress",
    "checksum_memory",
    "memory_shape",
    "passes",
    "read_config",
    "write_memory",
]

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Told of long work: what it is, how much is done, how much there is."""

_CHUNK = 1 << 12
"""Words of a memory that are written between two reports."""

_JOURNAL = 256
"""Tokens after which the state is read, so that fewer must be stepped again after a reset."""

_AHEAD = 16
"""Tokens that are given before the log-probability of the first has been read: what a chip's queues
hold."""

_BATCH = 448
"""Logits that are asked for at a time: eight requests of the serial link."""

_MOST = 0xFFFF
"""Tokens that a chip draws by itself."""

_SILENT_SECONDS = 30.0
"""Seconds without room for a word of the tape after which a chip is said to hang."""

_SILENT_CLOCKS = 1 << 26
"""Clocks without a result after which a chip is said to hang."""

_RESETS = 20
"""Resets in one call after which a device is given up."""


def read_config(port: RegisterPort) -> ChipConfig:
    """Return the configuration that a chip says it has.

    Raises
    ------
    DeviceError
        If what it says does not have the digest that it says.
    """
    words = port.execute(
        [
            read_next("DIGEST_LOW", 2),
            read_next(next(iter(CONFIG_REGISTERS)), len(CONFIG_REGISTERS)),
            read("CONFIG_MEMORY"),
            read("CONFIG_COMPACT"),
        ]
    )
    values: dict[str, Any] = {
        field: int(word) for field, word in zip(CONFIG_REGISTERS.values(), words[2:-2], strict=True)
    }
    try:
        values["log_probability"] = bool(values["log_probability"])
        values["memory"] = dict(enumerate(MEMORIES))[int(words[-2])]
        values["compact"] = bool(words[-1])
        config = ChipConfig(**{**values, "packing": Packing(values["packing"])})
    except (ValueError, KeyError, InputError) as error:
        raise DeviceError(f"the device has a configuration that cannot be: {error}") from error
    digest = f"{int(words[1]) << 32 | int(words[0]):016x}"
    if config.digest != digest:
        raise DeviceError(
            f"the device says that its configuration is {digest}, but its fields make "
            f"{config.digest}; rebuild its bitstream with this version"
        )
    return config


def memory_shape(config: ChipConfig, memory: Memory) -> tuple[int, int]:
    """Words of a memory, and bits of a word."""
    elements = config.elements
    beside = external(config.memory) if config.memory else None
    if config.compact and memory in (Memory.VECTOR_A, Memory.VECTOR_B, Memory.EMBEDDING):
        # One memory holds all of them; behind it the chip keeps what is its own.
        return (int(Area.STATE) if memory is Memory.VECTOR_A else 0), VECTOR_BITS
    return {
        Memory.TAPE: (config.tape_words, config.word_bits),
        Memory.VECTOR_A: (config.vector_a_words, VECTOR_BITS * elements),
        Memory.VECTOR_B: (config.vector_b_words, VECTOR_BITS * elements),
        Memory.EMBEDDING: (config.embedding_words, config.embedding_bits * elements),
        Memory.STATE: (config.slots * config.state_words, STATE_BITS * elements),
        Memory.EXTERNAL: (beside.blocks, beside.block_bits) if beside else (0, 0),
    }[memory]


def write_memory(
    port: RegisterPort, memory: Memory, words: np.ndarray, progress: Progress, first: int = 0
) -> int:
    """Write a memory from some word on; return the checksum of what is there then."""
    pieces, name = words.reshape(-1), memory.name.lower()
    port.execute([write("MEMORY", memory), write("ADDRESS", first)])
    for start in range(0, len(pieces), _CHUNK):
        progress(f"loading {name}", start, len(pieces))
        port.execute([write("DATA", pieces[start : start + _CHUNK])])
    return checksum_memory(port, memory, len(pieces), progress, first)


def checksum_memory(
    port: RegisterPort, memory: Memory, pieces: int, progress: Progress, first: int = 0
) -> int:
    """CRC-32 of a memory's pieces from some word on, computed by the device."""
    name = memory.name.lower()
    progress(f"checking {name}", 0, 1)
    port.execute([write("MEMORY", memory), write("ADDRESS", first), write("CHECK", pieces)])
    while (status := int(port.execute([read("STATUS")])[0])) >> Status.CHECKING & 1:
        _refuse_memory_fault(status)
    progress(f"checking {name}", 1, 1)
    return int(port.execute([read("CHECKSUM")])[0])


def _refuse_memory_fault(status: int) -> None:
    """Refuse what a chip says whose memory has failed: it reads nothing more."""
    if status >> Status.MEMORY_FAULT & 1:
        raise DeviceError(
            "the memory beside the chip could not read or write a word; the next start loads it "
            "anew"
        )


def passes(tokens: Sequence[int], positions: int, slots: int) -> np.ndarray:
    """TOKEN words that step a sequence, so many positions a pass.

    The positions of a pass stand in consecutive slots, each going on from the state of the one
    before. The last one's is the chip's last slot, from which the next pass goes on.
    """
    words = np.array(tokens, dtype="<u4")
    for start in range(0, len(words), positions):
        group = words[start : start + positions]
        slot = np.arange(slots - len(group), slots, dtype="<u4")
        source = np.concatenate([[slots - 1], slot[:-1]]).astype("<u4")
        group |= slot << SLOT_SHIFT | source << SOURCE_SHIFT
        group[:-1] |= MORE
    return words


class ChipDevice:
    """A model on a chip; see `sterna.device.device.Device`.

    The memories are loaded only where their checksums differ from the model's. A tape that is
    longer than the chip's RAM for it is streamed, once for each token, or read by the chip from
    this computer's memory, where the port has a way to that. If the device is reset in
    the middle of something, its memories are checked, its state is restored and what was asked is
    done again, so that callers see no reset.

    Parameters
    ----------
    port : RegisterPort
        Closed with the device, also if this fails.
    model : Model
    label : str
        What it is, for people.
    progress : Progress, optional
        Told of loading; can be changed later.

    Raises
    ------
    InputError
        If the model does not fit the chip.
    DeviceError
        If the chip is not what it should be or its memories do not hold what was written.
    """

    def __init__(
        self, port: RegisterPort, model: Model, label: str, progress: Progress | None = None
    ) -> None:
        self.port = port
        self.model = model
        self.label = label
        self.progress = progress or (lambda *_: None)
        try:
            self.config = read_config(port)
            self.clock_hz = int(port.execute([read("CLOCK_HZ")])[0])
            # A compact chip has no room for words that wait.
            self.image: Image = lay_out(model, self.config, streamed=not self.config.compact)
            on_chip = len(self.image.tape) <= self.config.tape_words
            # Whether the tape lies neither on the chip nor beside it, and must be streamed to it.
            self._outside = not (on_chip or self.config.memory)
            self._streams = self._outside
            self._snapshot = np.zeros((model.shape.layers, model.shape.width), dtype=np.int64)
            self._journal: list[int] = []  # tokens stepped since the snapshot of the state
            self._current = False  # the chip's state is what snapshot and journal say
            self._retry(lambda: None)
            port.execute([write("CONTROL", 1 << Control.CLEAR_COUNTERS)])
        except BaseException:
            port.close()
            raise

    def close(self) -> None:
        """Free the port."""
        self.port.close()

    @property
    def state(self) -> np.ndarray:
        """The recurrent state, int64 [layers, width], read from the chip."""
        return self._retry(self._read_state)

    @state.setter
    def state(self, state: np.ndarray) -> None:
        if np.shape(state) != self._snapshot.shape:
            own, other = list(self._snapshot.shape), list(np.shape(state))
            raise InputError(f"a state of this model is {own}, not {other}")
        self._snapshot, self._journal = np.array(state, dtype=np.int64), []
        self._retry(lambda: self._write_state(self._snapshot))

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the logits after each, int64 [T, V]."""
        check_tokens(tokens, self.model)
        rows = []
        for token in tokens:
            rows.append(self._retry(lambda t=token: self._logits(t)))
            self._stepped([token])
        return np.array(rows)

    def best(self, tokens: Sequence[int], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Step the tokens; return the largest logits after each.

        More than the chip keeps, the host finds in all logits.
        """
        check_tokens(tokens, self.model)
        if k > self.config.top_k:
            return best_of(self.logits(tokens), k)
        rows = []
        for token in tokens:
            rows.append(self._retry(lambda t=token: self._best(t, k)))
            self._stepped([token])
        found = np.array(rows, dtype=np.int64)
        return found[:, 0], found[:, 1]

    def log_probabilities(self, tokens: Sequence[int], targets: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the log-probability of each one's target.

        A chip that does not compute them gives all logits instead, and the host computes the same.
        """
        check_tokens(tokens, self.model)
        check_tokens(targets, self.model)
        scale = log_scale(self.model.steps[-1].fraction)
        pairs = list(zip(tokens, targets, strict=True))
        if not self.config.log_probability:
            return of_targets(self.logits(tokens), targets, scale)
        results: list[int] = []
        for start in range(0, len(pairs), _JOURNAL):
            part = pairs[start : start + _JOURNAL]
            results += self._retry(lambda part=part: self._log_probabilities(part, scale))
            self._stepped([token for token, _ in part])
        return np.array(results, dtype=np.int64)

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Step the prompt, then let the chip draw tokens by itself.

        If it can't draw among `top_k`, the host draws the same tokens from its logits.
        """
        check_tokens(prompt, self.model)
        if count < 0:
            raise InputError(f"the number of tokens must be 0 or more, not {count}")
        if len(sampling.stop) > STOPS:
            raise InputError(f"a chip knows {STOPS} stop tokens, not {len(sampling.stop)}")
        sampling.chip_temperature(self.model)
        if sampling.top_k > self.config.top_k:
            return draw(self, list(prompt), count, sampling)
        return self._generate(list(prompt), count, sampling)

    def counters(self) -> dict[str, int]:
        """Counters of the chip since it was opened, or reset; a compact one has the first three."""
        counters = tuple(Counter)[: Counter.SATURATIONS + 1 if self.config.compact else None]
        words = self._retry(
            lambda: self.port.execute([read_next(f"COUNTER_{counters[0].name}", len(counters))])
        )
        return {c.name.lower(): int(word) for c, word in zip(counters, words, strict=True)}

    # What follows a reset.

    def _retry(self, action: Callable[[], T]) -> T:
        """Do something on a current chip, again and again while it is being reset."""
        for _ in range(_RESETS):
            try:
                if not self._current:
                    self._restore()
                return action()
            except LinkReset:
                self._current = False
            except BaseException:
                self._current = False
                raise
        raise DeviceError("the device is being reset again and again; see to its power supply")

    def _restore(self) -> None:
        """Bring memories and state to what they should be."""
        self.port.execute([write("TAPE_LENGTH", 0), write("CONTROL", 1 << Control.RESET)])
        for memory, words in self.image.memories().items():
            if memory is Memory.TAPE and self._outside:
                continue
            found = checksum_memory(self.port, memory, words.size, self.progress)
            if found != zlib.crc32(words.tobytes()):
                self._load(memory, words)
        self._streams = self._outside and not self.port.lend_tape(self.image.tape)
        length = 0 if self._streams else len(self.image.tape)
        # A target that another program has left would fill the queue of log-probabilities.
        self.port.execute(
            [
                write("TARGET", 0),
                write("TAPE_BLOCKS", self.image.tape_blocks),
                write("TAPE_LENGTH", length),
                write("CONTROL", 1 << Control.RESET),
            ]
        )
        self._write_state(self._snapshot)
        self._enter(self._journal, draw=False)
        self.wait_idle()
        self._current = True

    def _stepped(self, tokens: Sequence[int]) -> None:
        """Note that the chip has stepped tokens."""
        self._journal += tokens
        if len(self._journal) > _JOURNAL:
            self._snapshot = self._retry(self._read_state)
            self._journal = []

    def load(self) -> int:
        """Write all memories whether or not they hold the model; return the bytes."""
        memories = self.image.memories()
        if self._outside:
            del memories[Memory.TAPE]
        self._current = False
        self.port.execute([write("TAPE_LENGTH", 0), write("CONTROL", 1 << Control.RESET)])
        for memory, words in memories.items():
            self._load(memory, words)
        self._retry(lambda: None)
        return sum(words.nbytes for words in memories.values())

    def _load(self, memory: Memory, words: np.ndarray) -> None:
        """Write a memory and check it."""
        found = write_memory(self.port, memory, words, self.progress)
        if found != zlib.crc32(words.tobytes()):
            raise DeviceError(
                f"the device's memory {memory.name.lower()} does not hold what was written to it; "
                "the chip is damaged, or its clock too fast"
            )

    # What `sterna.device.batch` builds on.

    @property
    def streams(self) -> bool:
        """Whether the host streams the tape for each token."""
        return self._streams

    def become_current(self) -> None:
        """Bring memories and state to what they should be, if they may not be that."""
        if not self._current:
            self._restore()

    def forget(self) -> None:
        """Take nothing for granted: the chip was reset, or left in the middle of something."""
        self._current = False

    def write_slot(self, slot: int, state: np.ndarray) -> None:
        """Write the state of a slot."""
        elements = self.config.elements
        layers, width = state.shape
        padded = np.zeros((layers, -(-width // elements) * elements), dtype=np.int16)
        padded[:, :width] = state
        words = ram_pieces(padded.reshape(-1, elements))
        self.port.execute([*self._state_place(slot), write("DATA", words)])

    def read_slot(self, slot: int) -> np.ndarray:
        """Read the state of a slot, int64 [layers, width]."""
        elements = self.config.elements
        layers, width = self._snapshot.shape
        words = layers * -(-width // elements)
        count = -(-elements * STATE_BITS // 32)
        pieces = self.port.execute([*self._state_place(slot), read("DATA", words * count)])
        values = pieces.reshape(words, count).view(np.int16)[:, :elements]
        return values.reshape(layers, -1)[:, :width].astype(np.int64)

    def _state_place(self, slot: int) -> list[Operation]:
        place = slot * self.config.state_words
        return [write("MEMORY", Memory.STATE), write("ADDRESS", place)]

    def _write_state(self, state: np.ndarray) -> None:
        """Write the state of this device's own sequence, which goes on in the last slot."""
        self.write_slot(self.config.slots - 1, state)

    def _read_state(self) -> np.ndarray:
        return self.read_slot(self.config.slots - 1)

    def expect_results(self) -> None:
        """Measure the chip's silence from now on."""
        self._silent_since = None

    # Tokens.

    def _enter(self, tokens: Sequence[int], draw: bool) -> None:
        """Give tokens to step; with `draw`, COUNT tokens are drawn after the last."""
        self._silent_since = None
        if not tokens:
            return
        words = passes(tokens, 1 if self._streams else self.config.slots, self.config.slots)
        if draw:
            words[-1] |= VALID
        if not self._streams:
            self.port.execute([write("TOKEN", words)])
            return
        for word in words:
            self.port.execute([write("TOKEN", word)])
            self._stream()

    def _stream(self, between: Callable[[], object] = lambda: None) -> None:
        """Give the tape for one token, word by word as the chip takes it."""
        self.port.execute([write("MEMORY", Memory.STREAM)])
        pieces, done = self.image.tape.reshape(-1), 0
        last_progress = time.monotonic()
        while done < len(pieces):
            taken = self.port.offer(write("DATA", pieces[done : done + _CHUNK]))
            done += taken
            between()
            if taken:
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > _SILENT_SECONDS:
                self._status(0)
                raise DeviceError("the chip takes no more of the tape; reset it")

    def poll(self, register: str, count: int) -> list[int]:
        """Items that wait in a register, up to `count`; looks for faults and for silence."""
        *words, status, clocks = (
            int(word)
            for word in self.port.execute(
                [read(register, count), read("STATUS"), read("COUNTER_CLOCKS")]
            )
        )
        items = [word for word in words if word & VALID]
        self._status(status)
        if self.config.compact:  # it has no clocks to tell; what it has done, it has in a moment
            clocks = round(time.monotonic() * self.clock_hz)
        if items:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = clocks
        elif (clocks - self._silent_since) % (1 << 32) > _SILENT_CLOCKS:
            raise DeviceError(f"the chip hangs: nothing in {register}; reset it")
        return items

    _silent_since: int | None = None
    """Clocks when something was first waited for; after a reset they count from 0 again."""

    @staticmethod
    def _status(status: int) -> None:
        """Refuse what a chip with a fault says."""
        segment = status >> 16
        _refuse_memory_fault(status)
        if status >> Status.HEADER_FAULT & 1:
            raise DeviceError(
                f"segment {segment} of the tape: not a segment header; the next start loads it anew"
            )
        if status >> Status.CHECKSUM_FAULT & 1:
            raise DeviceError(
                f"segment {segment} of the tape: its words do not match their checksum; the next "
                "start loads it anew"
            )

    def wait_idle(self) -> None:
        """Wait until no token is in flight."""
        self._silent_since = None
        while int(self.port.execute([read("STATUS")])[0]) >> Status.BUSY & 1:
            self.poll("STATUS", 0)

    def _logits(self, token: int) -> np.ndarray:
        values: list[int] = []
        vocab = self.model.shape.vocab
        self._silent_since = None

        def take() -> None:
            # One at a time until the pass comes to its end.
            values.extend(self.poll("LOGIT", min(_BATCH, vocab - len(values)) if values else 1))

        self.port.execute(
            [write("LOGITS", 1), write("TOKEN", passes([token], 1, self.config.slots))]
        )
        if self._streams:
            self._stream(lambda: take() if len(values) < vocab else None)
        while len(values) < vocab:
            take()
        self.wait_idle()
        self.port.execute([write("LOGITS", 0)])
        return np.array(values, dtype=np.uint32).astype(np.uint16).view(np.int16).astype(np.int64)

    def _best(self, token: int, k: int) -> np.ndarray:
        """Tokens and logits, int32 [2, k]."""
        self._enter([token], draw=False)
        self.wait_idle()
        count = min(k, self.model.shape.vocab)
        asked = [
            operation
            for rank in range(count)
            for operation in (write("RANK", rank), read_next("BEST_TOKEN", 2))
        ]
        found = self.port.execute(asked).astype(np.uint32).reshape(count, 2).T
        return np.stack([found[0] & (VALID - 1), found[1]]).view(np.int32)

    def _log_probabilities(self, pairs: list[tuple[int, int]], scale: int) -> list[int]:
        """Give tokens with their targets, some ahead of the results."""
        self.port.execute([write("LOG_SCALE", scale)])
        self._silent_since = None
        results: list[int] = []
        given = 0
        while len(results) < len(pairs):
            part = pairs[given : len(results) + (1 if self._streams else _AHEAD)]
            self.port.execute(
                [
                    operation
                    for token, target in part
                    for operation in (write("TARGET", target | VALID), write("TOKEN", token))
                ]
            )
            if part and self._streams:
                self._stream()
            given += len(part)
            results += self.poll("LOG_PROBABILITY", given - len(results))
        self.port.execute([write("TARGET", 0)])
        self.wait_idle()
        half = 1 << LOG_PROBABILITY_BITS - 1
        return [(word & 2 * half - 1 ^ half) - half for word in results]

    def _generate(self, prompt: list[int], count: int, sampling: Sampling) -> Iterator[int]:
        drawn: list[int] = []
        complete, resets = False, 0
        try:
            while not complete:
                try:
                    if not self._current:
                        self._restore()
                    for number, token in enumerate(self._draw(prompt, count, sampling)):
                        # After a reset the same tokens come once more.
                        if number == len(drawn):
                            drawn.append(token)
                            yield token
                    complete = True
                except LinkReset:
                    self._current = False
                    resets += 1
                    if resets == _RESETS:
                        raise
        finally:
            # A chip that was left alone may have drawn more than was taken.
            self._current = self._current and complete
            self._journal += prompt + drawn[:-1]
        self._stepped([])

    def _draw(self, prompt: list[int], count: int, sampling: Sampling) -> Iterator[int]:
        seed = sampling.chip_seed()
        stops = [token | VALID for token in sampling.stop] + [0] * (STOPS - len(sampling.stop))
        # Commands and settings may not change under a chip that is at work.
        self.port.execute(
            [
                write("SLOT", self.config.slots - 1),
                write("TEMPERATURE", sampling.chip_temperature(self.model)),
                write("TOP_K", sampling.top_k),
                write("SEED_LOW", seed & 0xFFFFFFFF),
                write("SEED_HIGH", seed >> 32),
                write("CONTROL", 1 << Control.LOAD_SEED),
                *(write(f"STOP_{number}", stop) for number, stop in enumerate(stops)),
            ]
        )
        if count == 0:
            self._enter(prompt, draw=False)
        tokens = prompt
        # More than the chip counts are drawn in parts; the draw generator goes on between them.
        while count > 0:
            part = min(count, _MOST)
            count -= part
            self.port.execute([write("COUNT", part)])
            self._enter(tokens, draw=True)
            last = False
            while not last:
                for word in self.poll("GENERATED", 16):
                    last = bool(word & LAST)
                    tokens = [word & (1 << SLOT_SHIFT) - 1]
                    yield tokens[0]
                    if self._streams and not last:
                        self._stream()
            if tokens[0] in sampling.stop:
                break
        self.wait_idle()
