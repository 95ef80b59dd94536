"""Firmware: reciprocal, root and output scale of a quantisation."""

from __future__ import annotations

__all__ = ["TEXT"]

_SETTINGS = "\n".join(
    f"            load  record + Record.{word}\n            out   Write.{port}"
    for word, port in (
        ("SIGMOID", "SHIFT + Shift.SIGMOID"),
        ("OUT", "SHIFT + Shift.OUT"),
        ("RESIDUAL", "SHIFT + Shift.RESIDUAL"),
    )
)

TEXT = f"""
; quantise: set all that a segment's activations need, as its statistics say
quantise:   load  record + Record.SOURCE
            ifneg write_end
            ifz   find_peak
            out   Write.FIRST, #0
            load  record + Record.SOURCE_LAST
            out   Write.LAST
            load  record + Record.QUANTISE
            out   Write.PLACE + Place.WEIGHTS
            out   Write.PROGRAM, #Program.LARGEST
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
            out   Write.SHIFT + Shift.CUT, #0
; The first sum with the constant, before another program takes its place.
peak_set:   in    Read.TOTAL
            add   record + Record.EPS_LOW
            store total
            in    Read.TOTAL + 1
            addc  record + Record.EPS_HIGH
            store total + 1
            in    Read.TOTAL + 2
            addc  #0
            store total + 2
            load  place
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
            goto  factors
no_more:    load  value
            out   Write.SUM
            goto  factors

; scale: mantissa and amount, of the largest product, the root and the segment's constant
scale:      load  record + Record.SOURCE
            ifnz  has_root
            call  inverse_root
has_root:   load  peak
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
; apply: set mantissa and amount of the row sums' scale, and what the operation needs
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
            load  record + Record.VECTOR_A
            out   Write.PLACE + Place.BOUND
            out   Write.PLACE + Place.SUM_WEIGHTS
{_SETTINGS}
            load  #CELLS + Cell.MANTISSA
            out   Write.SUM_AT
            load  mantissa
            out   Write.SUM
; factors: mantissa and reciprocal, from among the sums
factors:    load  #CELLS + Cell.MANTISSA
            out   Write.FIRST
            load  #CELLS + Cell.RECIPROCAL
            out   Write.LAST
            out   Write.PROGRAM, #Program.SET_FACTORS
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
            add   total
            store n0
            load  n1
            addc  total + 1
            store n1
            load  n2
            addc  total + 2
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
.room total 3
.room amount 1
.room root 1
.room root_exponent 1
.room sums_program 1
"""
