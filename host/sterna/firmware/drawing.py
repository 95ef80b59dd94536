"""Firmware: the choice of a token, and the next state of the draw generator."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = """
; choose: token = that of the largest sum of a logit and its noise; the generator goes on
choose:     in    Read.NOISE
            out   Write.FIRST, #0
            load  vocabulary_last
            out   Write.LAST
            out   Write.PROGRAM, #Program.SCORE
            in    Read.ELEMENT
            store token
; By 13, 7 and 17 places: words times a power of two, of a copy that is moved by whole words.
            load  #0
            store moved
            load  power + 13
            call  mix
            load  =-1
            store moved
            load  #512
            call  mix
            load  #1
            store moved
            load  #2

; mix: draw = draw ^ (draw moved up by so many words, times A)
mix:        store by
            load  draw
            store copy + 2
            load  draw + 1
            store copy + 3
            load  draw + 2
            store copy + 4
            load  draw + 3
            store copy + 5
            load  #3
            store number
mix_word:   load  number
            sub   moved
            index
            load  copy + 2,x
            mul   by
            low
            store t
            load  copy + 1,x
            mul   by
            high
            xor   t
            store t
            load  number
            index
            load  t
            xor   draw,x
            store draw,x
            load  number
            sub   #1
            store number
            ifpos mix_word
            return

.room copy 7
.room moved 1
.room by 1
.room number 1
"""
