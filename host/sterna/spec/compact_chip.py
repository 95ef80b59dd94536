"""What a compact chip's control processor sees, and where all lies in the vector memory.

The tape has no headers of `sterna.spec.tape`. Before the words of each segment stand the 24 words
of 16 bits of its record, three in a tape word, the first in the lowest bits (`Record`); so the tape
is read from its beginning to its end.
"""

from __future__ import annotations

from enum import IntEnum

from sterna.spec.compact import LONGEST, VECTOR_WORDS, Place, Shift
from sterna.spec.fixed import SUM_SHIFT, VECTOR_BITS
from sterna.spec.link import REPLY_WORDS, REQUEST_BYTES

__all__ = [
    "NOTHING",
    "PIECES",
    "RECORD_MAGIC",
    "RECORD_WORDS",
    "SETTINGS",
    "Area",
    "Read",
    "Record",
    "Write",
]

PIECES = 3
"""Words of 16 bits in a word of the tape."""


class Write(IntEnum):
    """Ports that the processor writes."""

    FIRST = 0  #: first element of programs
    LAST = 1  #: last element of programs
    PROGRAM = 2  #: begins a `Program`, when the one before is done
    LAST_ROW = 3  #: of blocks
    BLOCK = 4  #: bit 0: it is the first, bit 1: the last; begins when the one before has passed
    SUM_AT = 5  #: where the next sum is written
    SUM = 6  #: an unsigned sum; `SUM_AT` counts up with each of the three
    SUM_MORE = 7  #: 65536 and an unsigned one
    NIBBLE = 8  #: the lowest four bits are a signed one
    PEEK = 9  #: place in the vector memory, also `Place.STATE`; shows its word, between programs
    PIECE = 10  #: of the state of the noise, the lowest first
    NOISE = 11  #: begins the noise of logits 0 to this number
    SEEK = 12  #: address at which the tape goes on, or is written
    TAPE = 13  #: the lower two pieces of a tape word, one after the other
    TAPE_WORD = 14  #: the upper piece; writes the word where `SEEK` says
    SEND = 15  #: a byte to the UART, when it has sent the one before
    DIVISOR = 16  #: of the UART
    CHECK_START = 17  #: begins a CRC-32
    CHECK = 18  #: its next byte
    PLACE = 32  #: and on: the `Place` of that number
    SHIFT = 48  #: and on: the `Shift` of that number


class Read(IntEnum):
    """Ports that the processor reads. Those of a program wait until it is done."""

    RECEIVED = 0  #: the next byte of a frame; at its end 0x8000, and 1 more if it is whole
    SENT = 1  #: waits until the UART has sent all
    RESULT = 2  #: the last result's lower 16 bits
    ELEMENT = 3  #: that of the largest product
    CLAMPED = 4  #: results that were clamped
    MORE = 5  #: one that the largest product has besides
    PEEKED = 6  #: the word that was asked for, if no program has begun since
    TOTAL = 8  #: three words of the sum of squares
    REST = 12  #: three words of the largest product
    TAPE = 16  #: three pieces of the next tape word, when no block passes; the last one takes it
    CHECK = 20  #: two words of the CRC-32's register
    NOISE = 22  #: waits until the noise is made


class Area(IntEnum):
    """Where in the vector memory something begins."""

    RECIPROCAL = 0  #: rows of `tables.reciprocal`, two words each
    ROOT = 1024  #: those of `tables.inverse_root` from 128 on
    ONE = 1792  #: ones
    MINUS_ONE = ONE + LONGEST  #: and -1
    MODEL = MINUS_ONE + LONGEST  #: vectors and embedding of the model
    REPLY = VECTOR_WORDS - 256  #: bytes of the last reply, one a word
    REQUEST = REPLY - 288  #: bytes of the request
    TEMPERATURE = REQUEST - 256
    STATE = TEMPERATURE - LONGEST  #: what is behind here is not loaded with the model


SETTINGS: dict[str, dict[int, int]] = {
    "place": {
        Place.ONE: Area.ONE,
        Place.MINUS_ONE: Area.MINUS_ONE,
        Place.TEMPERATURE: Area.TEMPERATURE,
    },
    "shift": {Shift.SQUARE: SUM_SHIFT, Shift.FRACTION: VECTOR_BITS},
}
"""Settings that are the same for all segments, and there from the start."""


class Record(IntEnum):
    """Words of a segment's record, in their order."""

    MAGIC = 0
    SOURCE = 1  #: `Stats` of the source; of KEEP the highest bit is 1
    LAST_ROW = 2
    STATE = 3  #: the places of `Place`
    VECTOR_A = 4
    WEIGHTS = 5
    QUANTISE = 6  #: EMBED: scales of the embedding's rows
    SIGMOID = 7  #: the amounts of `Shift`
    OUT = 8
    RESIDUAL = 9
    CUT = 10  #: program that cuts products
    OPERATION = 11  #: program behind the row sums; `NOTHING` behind the token's last ones
    STATISTICS = 12  #: program behind that one, or `NOTHING`
    BLOCKS = 13  #: 0 for EMBED
    SOURCE_LAST = 14  #: last element of the source
    SCALE_MANTISSA = 15
    SCALE_EXPONENT = 16  #: EMBED: the shift of its scale
    EPS_MANTISSA = 17
    EPS_EXPONENT = 18
    EPS_LOW = 19  #: the constant, two words
    EPS_HIGH = 20
    ROWS_AT = 21  #: EMBED: where the embedding lies
    ROW_WORDS = 22  #: EMBED: words of a row, four elements each
    VOCABULARY_LAST = 23  #: EMBED: the last token


RECORD_WORDS = len(Record)

RECORD_MAGIC = int.from_bytes(b"SG", "big")
"""First word of every record; with another one the chip stops with an error."""

NOTHING = 0
"""No program, but that of the row sums."""

assert RECORD_WORDS % PIECES == 0
assert REQUEST_BYTES + 6 <= 288
assert 4 * REPLY_WORDS + 9 <= 256
