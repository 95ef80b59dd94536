"""Firmware: reciprocal, root and output scale of a quantisation."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = """
; quantise: set all that a segment's quantisation needs, as its statistics say
quantise:   load  record + Record.SOURCE
            ifneg scale
            ifz   find_peak
            load  #0
            out   Write.FIRST
            load  record + Record.SOURCE_LAST
            out   Write.LAST
            load  record + Record.QUANTISE
            out   Write.PLACE + Place.WEIGHTS
            load  #Program.LARGEST
            out   Write.PROGRAM
find_peak:  in    Read.MORE
            store t
            in    Read.REST
            add   t
            store n0
            in    Read.REST + 1
            addc  #0
            store n1
            in    Read.REST + 2
            addc  #0
            store n2
            call  normalise
            load  n2
            store peak
            load  n1
            left
            load  n2
            left
            store place
            load  exponent
            store peak_exponent
            sub   #1
            ifneg peak_small
            out   Write.SHIFT + Shift.CUT
            load  #0
peak_small: add   #RECIPROCAL_SHIFT
            out   Write.SHIFT + Shift.ACTIVATION
            sub   #RECIPROCAL_SHIFT
            ifpos peak_set
            load  #0
            out   Write.SHIFT + Shift.CUT
peak_set:   load  record + Record.SOURCE
            ifnz  reciprocal
            call  inverse_root
reciprocal: load  place
            mul   #512
            low
            store rest
            high
            store row
            load  #CELLS + Cell.RECIPROCAL
            out   Write.SUM_AT
            load  #Area.RECIPROCAL
            call  curve
            ifz   no_more
            load  value
            out   Write.SUM_MORE
            goto  scale
no_more:    load  value
            out   Write.SUM

; scale: mantissa and amount, of the largest product, the root and the segment's constant
scale:      load  peak
            store mantissa
            load  peak_exponent
            add   root_exponent
            add   record + Record.SCALE_EXPONENT
            store exponent
            load  root
            call  times
            load  record + Record.SCALE_MANTISSA
            call  times
            load  #0
            sub   exponent
            store amount
            ifpos apply
            load  #0
            store amount
; apply: set mantissa and amount of the row sums' scale
apply:      load  #32
            sub   amount
            ifpos in_reach
            load  #0
            store amount
            store mantissa
in_reach:   load  amount
            out   Write.SHIFT + Shift.SCALE
            mul   power + 11
            high
            store sums_program
            load  #CELLS + Cell.MANTISSA
            out   Write.SUM_AT
            out   Write.FIRST
            load  mantissa
            out   Write.SUM
            load  #CELLS + Cell.RECIPROCAL
            out   Write.LAST
            load  #Program.SET_FACTORS
            out   Write.PROGRAM
            return

; inverse_root: root and root_exponent, of the two sums of squares and both parts of epsilon
inverse_root:
            load  second
            mul   record + Record.EPS_MANTISSA
            low
            store n0
            high
            store n1
            load  #0
            store n2
            load  second_exponent
            add   record + Record.EPS_EXPONENT
            ifneg lowers
            sub   #15
            ifneg few
            load  #0
few:        add   #15
            call  shift
            goto  adds
; To the right: a word for each 16, and first to the left by what that is too much.
lowers:     add   #16
            store amount
            ifpos partly
            call  drop
            load  amount
            goto  lowers
partly:     call  shift
            call  drop
adds:       load  n0
            add   record + Record.EPS_LOW
            store n0
            load  n1
            addc  record + Record.EPS_HIGH
            store n1
            load  n2
            addc  #0
            store n2
            in    Read.TOTAL
            add   n0
            store n0
            in    Read.TOTAL + 1
            addc  n1
            store n1
            in    Read.TOTAL + 2
            addc  n2
            store n2
            call  normalise
            load  n2
            store root
            ifz   write_end
            load  exponent
            and   #1
            ifz   is_even
            load  exponent
            add   #1
            store exponent
            load  n2
            add   #0
            right
            store n2
            load  n1
            right
            store n1
is_even:    load  exponent
            add   #64
            mul   power + 15
            high
            store t
            load  #9
            sub   t
            store root_exponent
            load  n1
            mul   #512
            high
            and   #0x1F0
            store rest
            load  n2
            mul   #512
            low
            or    rest
            store rest
            high
            sub   #128
            store row
            load  =Area.ROOT
            call  curve
            load  value
            store root
            return

.room peak 1
.room peak_exponent 1
.room place 1
.room amount 1
.room root 1
.room root_exponent 1
.room sums_program 1
"""
