"""Firmware: the segments of a token, from their records on the tape to the logits."""

from __future__ import annotations

from sterna.spec.compact_chip import RECORD_WORDS

__all__ = ["TEXT"]

TEXT = f"""
; step: do `token`; its logits are the pre-activations afterwards
step:       load  #0
            store segment
            store logit
            out   Write.SEEK
            call  next_record
segments:   load  record + Record.MAGIC
            xor   =RECORD_MAGIC
            ifnz  no_record
            load  record + Record.QUANTISE
            out   Write.PLACE + Place.QUANTISE
            load  record + Record.BLOCKS
            ifz   is_embed
            load  #1
            store kind
            load  #0
            store block_first
            load  record + Record.LAST_ROW
            out   Write.LAST_ROW
            call  quantise
            call  blocks
            goto  operate
is_embed:   call  embed
operate:    load  record + Record.STATE
            out   Write.PLACE + Place.STATE
            load  record + Record.WEIGHTS
            out   Write.PLACE + Place.WEIGHTS
            in    Read.CLAMPED
            store t
            load  record + Record.OPERATION
            ifz   token_end
            out   Write.PROGRAM
; Beside the operation: counters, and the next record.
            call  count
            call  count_segment
            load  record + Record.STATISTICS
            store statistics
            call  next_record
            in    Read.CLAMPED
            store t
            in    Read.TOTAL
            store n0
            in    Read.TOTAL + 1
            store n1
            in    Read.TOTAL + 2
            store n2
            load  statistics
            ifz   counted
            out   Write.PROGRAM
; The first sum and the largest product stay where they are until they are wanted.
            call  count
            call  normalise
            load  n2
            store second
            load  exponent
            store second_exponent
            goto  segments
counted:    call  count
            goto  segments
token_end:  call  count
            call  count_segment
            load  #2 * COUNTER_TOKENS
            goto  count_more
no_record:  load  #1 << Status.HEADER_FAULT
            store registers + 2 * STATUS
            load  segment
            store registers + 2 * STATUS + 1
            return

count_segment:
            load  segment
            add   #1
            store segment
            load  #1
            store t
            load  #2 * COUNTER_SEGMENTS
            goto  count_more

; next_record: the words behind the weights
next_record:
            load  =-RECORD_WORDS
record_word:
            store t
            index
            in    Read.TAPE
            store record + RECORD_WORDS,x
            in    Read.TAPE + 1
            store record + RECORD_WORDS + 1,x
            in    Read.TAPE + 2
            store record + RECORD_WORDS + 2,x
            load  t
            add   #3
            ifnz  record_word
            return

; count: t results that a program has clamped
count:      load  #2 * COUNTER_SATURATIONS
; count_more: the counter at A goes up by t
count_more: index
            load  registers,x
            add   t
            store registers,x
            load  registers + 1,x
            addc  #0
            store registers + 1,x
            return

; embed: noise begins, row sums are the token's row, its scale is set
embed:      in    Read.NOISE
            load  draw
            out   Write.PIECE
            load  draw + 1
            out   Write.PIECE
            load  draw + 2
            out   Write.PIECE
            load  draw + 3
            out   Write.PIECE
            load  record + Record.VOCABULARY_LAST
            store vocabulary_last
            out   Write.NOISE
            load  token
            add   record + Record.QUANTISE
            out   Write.PEEK
            in    Read.PEEKED
            store mantissa
            load  record + Record.SCALE_EXPONENT
            store amount
            call  apply
            load  token
            mul   record + Record.ROW_WORDS
            low
            add   record + Record.ROWS_AT
            store at
            out   Write.SUM_AT, #0
row_word:   load  at
            out   Write.PEEK
            in    Read.PEEKED
            out   Write.NIBBLE
            mul   power + 12
            high
            out   Write.NIBBLE
            mul   power + 12
            high
            out   Write.NIBBLE
            mul   power + 12
            high
            out   Write.NIBBLE
            load  at
            add   #1
            store at
            load  record + Record.ROW_WORDS
            sub   #1
            store record + Record.ROW_WORDS
            ifnz  row_word

; sums: scale the row sums
sums:       out   Write.FIRST, #0
            load  record + Record.LAST_ROW
            out   Write.LAST
            load  sums_program
            out   Write.PROGRAM
            return

; blocks: activations and weights block by block, then the row sums
blocks:     call  activate
next_block: load  record + Record.BLOCKS
            sub   #1
            store record + Record.BLOCKS
            ifnz  more_blocks
            load  kind
            or    #2
            store kind
more_blocks:
            in    Read.RESULT
            load  kind
            out   Write.BLOCK
            and   #2
            ifnz  last_block
            call  activate
; The scale is not wanted before the row sums: beside the first block, or behind the only one.
            load  kind
            ifz   next_block
            load  #0
            store kind
            call  scale
            goto  next_block
last_block: load  kind
            and   #1
            ifz   sums
            call  scale
            goto  sums

; activate: bring the next block's activations to the lanes
activate:   load  block_first
            out   Write.FIRST
            add   #COLUMNS - 1
            out   Write.LAST
            add   #1
            store block_first
            load  record + Record.CUT
            out   Write.PROGRAM
            out   Write.PROGRAM, #Program.ACTIVATE
            return

.room record {RECORD_WORDS}
.room segment 1
.room token 1
.room vocabulary_last 1
.room logit 1
.room second 1
.room second_exponent 1
.room statistics 1
.room kind 1
.room block_first 1
"""
