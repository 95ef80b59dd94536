"""Firmware: frames from and to the UART, sessions, and the operations of requests.

One request at a time: a reply says that there is room for one more. The last reply is kept, for a
request that comes again.
"""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = """
main:       call  receive
            load  =Area.REQUEST
            store pos
            call  fetch
            store head
            and   #0xF0
            store own
            call  fetch
            store sequence
            load  head
            and   #15
            sub   #Kind.SYNC
            ifz   synchronise
            sub   #Kind.EXECUTE - Kind.SYNC
            ifz   is_request
            sub   #Kind.RESUME - Kind.EXECUTE
            ifnz  main
is_request: load  own
            sub   session
            ifnz  is_lost
            load  sequence
            sub   expected
            and   #255
            ifz   execute
; What is not the next one is the last one again: the host waits for each reply.
            load  =Area.REPLY
            store base
            load  reply_fill
            store fill
            goto  send_it
is_lost:    load  #Kind.LOST
            goto  notice
synchronise:
            load  own
            store session
            load  sequence
            store expected
            load  #Kind.SYNCED
; A notice has the session, and the number of the request that is expected.
notice:     store t
            load  =Area.REQUEST
            store base
            load  #0
            store fill
            load  session
            or    t
            call  put
            load  expected
            call  put
send_it:    call  send
            goto  main
; execute: the operations of a request, which is next
execute:    load  =Area.REPLY
            store base
            load  #0
            store fill
            store reads
            load  session
            or    #Kind.DONE
            call  put
            load  sequence
            call  put
            load  =Area.REQUEST - 4
            add   length
            store stop
operation:  load  pos
            sub   stop
            ifz   outcome
            ifpos malformed
            call  fetch
            store code
            call  fetch
            store reg
            call  fetch
            store left
            call  fetch
words:      load  left
            ifz   operation
            sub   #1
            store left
            load  code
            and   #1
            ifnz  reading
            load  pos
            sub   stop
            ifpos malformed
            call  get
            call  write
            goto  word_end
reading:    load  reads
            sub   #REPLY_WORDS
            ifz   malformed
            add   #REPLY_WORDS + 1
            store reads
            call  read
            load  w0
            call  put_half
            load  w1
            call  put_half
word_end:   load  code
            mul   power + 15
            high
            add   reg
            store reg
            goto  words
malformed:  load  #Outcome.MALFORMED
outcome:    call  put
            load  pos
            sub   =Area.REQUEST + 2
            mul   power + 14
            high
            call  put
            load  #1
            call  put
            load  fill
            store reply_fill
            load  expected
            add   #1
            and   #255
            store expected
            goto  send_it

; get: w1 w0 = the next word of the request
get:        call  get_half
            store w0
            call  get_half
            store w1
            return
get_half:   call  fetch
            store half_word
            call  fetch
            mul   #256
            low
            or    half_word
            return

; put: append the byte A to the frame at `base`
put:        store value
            load  base
            add   fill
            store at
            load  fill
            add   #1
            store fill
            goto  poke_value

; put_half: append the two bytes of A
put_half:   store half_word
            and   #255
            call  put
            load  half_word
            mul   #256
            high
            goto  put

; send: the frame at `base` with its checksum; then the UART may have another speed
send:       out   Write.CHECK_START
            load  base
            store begin
            store pos
            add   fill
            store stop
check_byte: call  fetch
            out   Write.CHECK
            load  pos
            sub   stop
            ifnz  check_byte
            in    Read.CHECK
            call  put_half
            in    Read.CHECK + 1
            call  put_half
            load  base
            add   fill
            store stop
            out   Write.SEND, #0
; A block ends before the next zero, and the last one before one that is not there.
block:      load  begin
            store pos
look:       load  pos
            sub   stop
            ifz   at_stop
            call  fetch
            ifnz  look
            goto  at_zero
at_stop:    load  pos
            add   #1
            store pos
at_zero:    load  pos
            store next
            sub   begin
            out   Write.SEND
            load  begin
            store pos
send_byte:  load  pos
            add   #1
            sub   next
            ifz   block_sent
            call  fetch
            out   Write.SEND
            goto  send_byte
block_sent: load  next
            store begin
            sub   #1
            sub   stop
            ifnz  block
            out   Write.SEND
            in    Read.SENT
            load  registers + 2 * UART_DIVISOR
            out   Write.DIVISOR
            return

; receive: wait for a frame whose checksum is right; its bytes are at REQUEST, `length` of them
receive:    load  #0
            store length
            out   Write.CHECK_START
next_byte:  in    Read.RECEIVED
            ifneg frame_end
            out   Write.CHECK
            store value
            load  =Area.REQUEST
            add   length
            store at
            load  length
            sub   #REQUEST_BYTES + 7
            ifz   next_byte
            add   #REQUEST_BYTES + 8
            store length
            call  poke_value
            goto  next_byte
frame_end:  and   #1
            ifz   receive
            load  length
            sub   #6
            ifneg receive
            in    Read.CHECK
            xor   =CRC_RIGHT & 0xFFFF
            ifnz  receive
            in    Read.CHECK + 1
            xor   =CRC_RIGHT >> 16
            ifnz  receive
            return

.room head 1
.room own 1
.room session 1
.room sequence 1
.room expected 1
.room base 1
.room fill 1
.room reply_fill 1
.room reads 1
.room stop 1
.room code 1
.room reg 1
.room left 1
.room w0 1
.room w1 1
.room half_word 1
.room begin 1
.room next 1
.room length 1
"""
