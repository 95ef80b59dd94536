"""Firmware: numbers of three words, the curves, and words of the vector memory."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = """
; The vector memory is written by a program: a sum 510 is moved there.

; fetch: A = the word at `pos`, which moves on
fetch:      load  pos
            add   #1
            store pos
            sub   #1
            out   Write.PEEK
            in    Read.PEEKED
            return

; poke: the word at `at` = A
poke:       store value
poke_value: load  #510
            out   Write.FIRST
            out   Write.LAST
            out   Write.SUM_AT
            load  at
            sub   #510
            out   Write.PLACE + Place.STATE
            load  value
            out   Write.SUM
            out   Write.PROGRAM, #Program.LOAD
            return

; normalise: n2 n1 n0 moves left until the highest bit is 1; exponent = bit length - 16.
; Of 0 the exponent is -16.
normalise:  load  #32
            store exponent
has_word:   load  n2
            ifnz  has_bit
            load  n1
            store n2
            load  n0
            store n1
            load  #0
            store n0
            load  exponent
            sub   #16
            store exponent
            ifpos has_word
            return
has_bit:    zeros
            store t
            load  exponent
            sub   t
            store exponent
            load  t

; shift: n2 n1 n0 moves left by A, at most 15
shift:      index
            load  n2
            mul   power,x
            low
            store n2
            load  n1
            mul   power,x
            high
            or    n2
            store n2
            low
            store n1
            load  n0
            mul   power,x
            high
            or    n1
            store n1
            low
            store n0
            return

; drop: n2 n1 n0 moves right by a word
drop:       load  n1
            store n0
            load  n2
            store n1
            load  #0
            store n2
            return

; curve: what `sterna.golden.curve` interpolates in the table at A, for a row and the place in it of
; 16 bits: `value`, and A is not 0 if there is one more bit
curve:      add   row
            add   row
            store at
            out   Write.PEEK
            in    Read.PEEKED
            store value
            load  at
            add   #1
            out   Write.PEEK
            in    Read.PEEKED
            store above
            and   =0x0FFF
            mul   rest
            high
            store t
            load  value
            sub   t
            store value
            load  above
            mul   #16
            high
            subc  #0
            store above
            mul   power + 14
            low
            store t
            load  value
            mul   power + 14
            high
            or    t
            store value
            load  above
            and   #4
            return

; times: mantissa and exponent, times A
times:      mul   mantissa
            load  exponent
            add   #15
            store exponent
            high
            ifneg times_full
            low
            left
            high
            left
            store mantissa
            return
times_full: store mantissa
            load  exponent
            add   #1
            store exponent
            return

.word power 1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768
.room at 1
.room pos 1
.room value 1
.room above 1
.room n0 1
.room n1 1
.room n2 1
.room exponent 1
.room mantissa 1
.room row 1
.room rest 1
.room t 1
"""
