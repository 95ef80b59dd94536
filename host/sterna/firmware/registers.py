"""Firmware: what registers do besides being words of a table."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = """
; write: w1 w0 to the register `reg`; what is only read, or not there, takes nothing
write:      load  reg
            sub   #UART_DIVISOR
            ifz   set
            add   #UART_DIVISOR - CONTROL
            ifz   control
            sub   #TAPE_LENGTH - CONTROL
            ifneg write_end
            sub   #TEMPERATURE - TAPE_LENGTH
            ifz   temperature
            sub   #TOKEN - TEMPERATURE
            ifz   new_token
            sub   #MEMORY - TOKEN
            ifz   memory
            sub   #ADDRESS - MEMORY
            ifz   address
            sub   #DATA - ADDRESS
            ifz   data_in
            sub   #CHECK - DATA
            ifz   check
            ifpos write_end

; set: the word of the table
set:        load  reg
            add   reg
            index
            load  w0
            store registers,x
            load  w1
            store registers + 1,x
write_end:  return

control:    load  w0
            and   #1 << Control.RESET | 1 << Control.ABORT
            ifz   no_reset
            load  #0
            store to_draw
            load  w0
            and   #1 << Control.RESET
            ifz   no_reset
            load  #0
            store registers + 2 * STATUS
            store registers + 2 * STATUS + 1
no_reset:   load  w0
            and   #1 << Control.CLEAR_COUNTERS
            ifz   write_end
            load  #0
            store registers + 2 * COUNTER_TOKENS
            store registers + 2 * COUNTER_TOKENS + 1
            store registers + 2 * COUNTER_SEGMENTS
            store registers + 2 * COUNTER_SEGMENTS + 1
            store registers + 2 * COUNTER_SATURATIONS
            store registers + 2 * COUNTER_SATURATIONS + 1
            return

temperature:
            call  set
; heat: the vector of the temperature w0
heat:       out   Write.SUM_AT, #0
            out   Write.FIRST, #0
            load  =Area.TEMPERATURE
            out   Write.PLACE + Place.STATE
            load  #256
heat_word:  sub   #1
            store t
            load  w0
            out   Write.SUM
            load  t
            ifnz  heat_word
            load  #255
            out   Write.LAST
            out   Write.PROGRAM, #Program.LOAD
            return

memory:     load  #0
            store registers + 2 * ADDRESS
address:    load  #0
            store half
            goto  set

; A token is stepped at once. Its logits may then be drawn from, as often as COUNT says.
new_token:  load  registers + 2 * TAPE_LENGTH
            ifz   write_end
            load  registers + 2 * STATUS
            ifnz  write_end
            store to_draw
            store stale
            load  w0
            store token
            call  step
            load  w1
            ifpos write_end
            load  registers + 2 * COUNT
            store to_draw
            return

data_in:    load  registers + 2 * MEMORY
            ifz   tape_in
            call  where
            load  w0
            call  poke
            goto  onwards
tape_in:    load  half
            xor   #1
            store half
            ifz   tape_upper
            load  w0
            out   Write.TAPE
            load  w1
            out   Write.TAPE
            return
tape_upper: load  registers + 2 * ADDRESS
            out   Write.SEEK
            load  w0
            out   Write.TAPE_WORD

; onwards: ADDRESS counts up
onwards:    load  registers + 2 * ADDRESS
            add   #1
            store registers + 2 * ADDRESS
            return

; where: A, at = address in the vector memory; A is the number of a memory that is not the tape
where:      sub   #Memory.VECTOR_A
            ifz   in_vectors
            load  =Area.STATE
in_vectors: add   registers + 2 * ADDRESS
            store at
            return

check:      out   Write.CHECK_START
            load  w0
            ifz   write_end
check_piece:
            store pieces
            call  data_out
            load  w0
            call  check_half
            load  w1
            call  check_half
            load  pieces
            sub   #1
            ifnz  check_piece
            in    Read.CHECK
            store registers + 2 * CHECKSUM
            in    Read.CHECK + 1
            store registers + 2 * CHECKSUM + 1
            return
check_half: out   Write.CHECK
            mul   #256
            high
            out   Write.CHECK
            return

; read: w1 w0 = what the register `reg` shows
read:       load  #0
            store w0
            store w1
            load  reg
            sub   #GENERATED
            ifz   generated
            sub   #LOGIT - GENERATED
            ifz   next_logit
            sub   #DATA - LOGIT
            ifz   data_out
            sub   #COUNTERS_END - DATA
            ifpos beyond
            load  reg
            add   reg
            index
            load  registers,x
            store w0
            load  registers + 1,x
            store w1
            return
beyond:     sub   #CONFIG_COMPACT - COUNTERS_END
            ifnz  read_end
            load  #1
            store w0
read_end:   return

; data_out: w1 w0 = the next piece of the memory
data_out:   load  registers + 2 * MEMORY
            ifz   tape_out
            call  where
            out   Write.PEEK
            in    Read.PEEKED
            store w0
            load  #0
            store w1
            goto  onwards
tape_out:   load  half
            xor   #1
            store half
            ifz   upper_out
            load  registers + 2 * ADDRESS
            out   Write.SEEK
            in    Read.TAPE
            store w0
            in    Read.TAPE + 1
            store w1
            return
upper_out:  store w1
            in    Read.TAPE + 2
            store w0
            goto  onwards

next_logit: load  vocabulary_last
            sub   logit
            ifneg read_end
            load  logit
            out   Write.FIRST
            out   Write.LAST
            add   #1
            store logit
            out   Write.PROGRAM, #Program.SHOW_Y
            in    Read.RESULT
            store w0
            load  =VALID >> 16
            store w1
            return

; A token is drawn when it is read; the one before is stepped then.
generated:  load  to_draw
            ifz   read_end
            load  stale
            ifz   is_stepped
            call  step
is_stepped: load  registers + 2 * STATUS
            ifnz  read_end
            call  choose
            load  #1
            store stale
            load  token
            store w0
            load  =VALID >> 16
            store w1
            load  to_draw
            sub   #1
            store to_draw
            ifz   is_last
            load  #2 * STOPS - 2
next_stop:  store t
            index
            load  registers + 2 * STOP_0 + 1,x
            ifpos no_stop
            load  registers + 2 * STOP_0,x
            sub   token
            ifz   is_last
no_stop:    load  t
            sub   #2
            ifpos next_stop
            return
is_last:    store to_draw
            load  =(VALID | LAST) >> 16
            store w1
            return

.room to_draw 1
.room stale 1
.room half 1
.room pieces 1
"""
