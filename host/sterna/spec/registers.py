"""Register map: 32-bit registers by which a host loads, runs and observes a chip."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

from sterna.spec.chip import ChipConfig

__all__ = [
    "CONFIG_REGISTERS",
    "INTERFACE_VERSION",
    "LAST",
    "MAGIC",
    "MORE",
    "REGISTERS",
    "SLOT_SHIFT",
    "SOURCE_SHIFT",
    "STOPS",
    "VALID",
    "WAIT_CLOCKS",
    "Control",
    "Counter",
    "Memory",
    "Register",
    "Status",
]

MAGIC = int.from_bytes(b"TERN", "big")
"""What MAGIC reads as."""

INTERFACE_VERSION = 5
"""What VERSION reads as: another one for each change of registers or tape that an older host or
chip would not understand."""

STOPS = 4
"""Tokens that may end a generation."""

WAIT_CLOCKS = 4096
"""So long does a write to TOKEN or DATA wait for room, and one to MEMORY, ADDRESS or CHECK for a
piece to be dealt with; then it is refused and has no effect."""

VALID = 1 << 31
"""TOKEN: draw a token after this one. GENERATED, LOGIT, LOG_PROBABILITY: the register held
something. STOP, TARGET: in use. BEST_TOKEN: there are so many."""

LAST = 1 << 30
"""GENERATED: the last token of this generation."""

MORE = 1 << 30
"""TOKEN: the next token is of the same pass."""

SLOT_SHIFT = 24
"""TOKEN, GENERATED: from this bit on three bits are the token's slot."""

SOURCE_SHIFT = 27
"""TOKEN: from this bit on three bits are the slot from whose state the token goes on."""


class Control(IntEnum):
    """Bits of CONTROL; each acts once when written as 1."""

    RESET = 0  #: pipelines, queues, tape position, faults, draw generator; RAMs and settings stay
    ABORT = 1  #: end the generation after the token in flight
    LOAD_SEED = 2  #: start the draw generator from SEED
    CLEAR_COUNTERS = 3


class Status(IntEnum):
    """Bits of STATUS; bits 31..16 are the number of the segment with the first fault."""

    BUSY = 0  #: a token is in flight or waits
    HEADER_FAULT = 1  #: a tape word that should be a header is none; the chip stands until RESET
    CHECKSUM_FAULT = 2  #: a segment's words did not match its checksum
    CHECKING = 3  #: CHECK is at work
    MEMORY_FAULT = 4  #: the memory beside the chip could not read or write; nothing more is read


class Memory(IntEnum):
    """RAMs that MEMORY selects; words are moved in pieces of 32 bits through DATA, lowest first."""

    TAPE = 0
    VECTOR_A = 1
    VECTOR_B = 2
    EMBEDDING = 3
    STATE = 4
    STREAM = 5  #: no RAM: the tape itself, word by word, while TAPE_LENGTH is 0; only written
    EXTERNAL = 6  #: the memory beside the chip; its words are blocks


class Counter(IntEnum):
    """Counters, in the order of their registers; each wraps at 2**32."""

    TOKENS = 0  #: passes completed
    SEGMENTS = 1  #: weight matrices completed, the embedding included
    SATURATIONS = 2  #: elements clamped
    CLOCKS = 3  #: clocks in which a token was in flight
    ENGINE_BUSY = 4  #: ... the engine took a word
    ENGINE_STARVED = 5  #: ... it had activations but no word
    ENGINE_WAITING = 6  #: ... it had a word but no activations
    ENGINE_BLOCKED = 7  #: ... it had both but no room for results
    TAPE_BLOCKED = 8  #: ... a tape word waited for the units behind it
    QUANTIZER_BARRIER = 9  #: ... the quantizer had a job, but no activations yet
    QUANTIZER_BLOCKED = 10  #: ... it had activations, but the engine had no room
    EPILOGUE_BLOCKED = 11  #: ... row sums waited for scale, job, or the segment before
    SAMPLER_BLOCKED = 12  #: ... logits waited for the sampler, or for the host to read them


@dataclass(frozen=True, slots=True)
class Register:
    """One register.

    Attributes
    ----------
    address : int
        Number of the register.
    access : str
        ``"r"``, ``"w"`` or ``"rw"``.
    meaning : str
    """

    address: int
    access: str
    meaning: str


CONFIG_REGISTERS = {
    f"CONFIG_{field.name.upper()}": field.name
    for field in fields(ChipConfig)
    if field.name not in ("memory", "compact")
}
"""Registers that show the chip's configuration, and their fields; packings by number. CONFIG_MEMORY
and CONFIG_COMPACT stand apart: registers that come later stand behind all others, so that a chip
from before reads as one without them."""


def _registers() -> dict[str, Register]:
    rows = [
        ("MAGIC", "r", "the letters TERN"),
        ("VERSION", "r", "version of this interface"),
        ("DIGEST_LOW", "r", "digest of the chip configuration, lower half"),
        ("DIGEST_HIGH", "r", "upper half"),
        ("CONTROL", "w", "commands, see Control"),
        ("STATUS", "r", "see Status"),
        ("TAPE_LENGTH", "rw", "tape words in use"),
        ("SLOT", "rw", "slot to which TEMPERATURE, COUNT, LOAD_SEED and ABORT belong"),
        ("TEMPERATURE", "rw", "temperature times 2**(fraction bits of the logits); 0 is argmax"),
        ("SEED_LOW", "rw", "seed of the draw generator, taken by LOAD_SEED; not 0"),
        ("SEED_HIGH", "rw", "upper half"),
        ("TOP_K", "rw", "draw among the tokens of so many of the largest logits; 0 is all"),
        ("COUNT", "rw", "tokens to draw after a TOKEN with bit 31"),
        *((f"STOP_{n}", "rw", "bit 31: stop after drawing this token") for n in range(STOPS)),
        ("TOKEN", "w", "step this token in its slot; bit 31: then draw, bit 30: the pass has more"),
        ("GENERATED", "r", "next token drawn, its slot; bit 31: there was one, bit 30: the last"),
        ("LOGITS", "rw", "1: logits go to LOGIT, and the chip waits until they are read"),
        ("LOGIT", "r", "next logit, 16 bits signed; bit 31: there was one"),
        ("RANK", "rw", "place of what the next two show, 0 is the largest; only if top_k is not 0"),
        ("BEST_TOKEN", "r", "token of one of the last pass's largest logits; bit 31: it exists"),
        ("BEST_LOGIT", "r", "its logit, signed"),
        ("LOG_SCALE", "rw", "log2(e) * 2**(26 - fraction bits of the logits), rounded"),
        ("TARGET", "rw", "token whose log-probability is wanted after each TOKEN; bit 31: one is"),
        ("LOG_PROBABILITY", "r", "next one, log2, 26 bits signed; bit 31: there was one"),
        ("MEMORY", "rw", "RAM that DATA goes to, see Memory"),
        ("ADDRESS", "rw", "its next word; counts up with each whole word"),
        ("DATA", "rw", "its next 32 bits; read while TAPE_LENGTH is 0, or STATE while idle"),
        ("CHECK", "w", "read so many times 32 bits from ADDRESS on, into CHECKSUM; RESET ends it"),
        ("CHECKSUM", "r", "their CRC-32, lowest byte first"),
        ("CLOCK_HZ", "r", "clocks per second for which the chip was built"),
        ("UART_DIVISOR", "rw", "clocks per bit of the UART, 4 or more; taken when it is idle"),
        *((name, "r", f"chip configuration: {name[7:].lower()}") for name in CONFIG_REGISTERS),
        *((f"COUNTER_{c.name}", "r", "see Counter") for c in Counter),
        ("CONFIG_MEMORY", "r", "chip configuration: memory, its place among the parts from 1 on"),
        ("TAPE_BLOCKS", "rw", "blocks of EXTERNAL that hold the tape; the embedding lies behind"),
        ("CONFIG_COMPACT", "r", "chip configuration: compact; VECTOR_A is all its vector memory"),
    ]  # fmt: skip
    return {name: Register(address, *rest) for address, (name, *rest) in enumerate(rows)}


REGISTERS = _registers()
"""All registers by name."""
