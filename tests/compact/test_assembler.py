"""Assembler of the compact chip's processor."""

import pytest

from sterna.firmware.assembler import AssemblyError, assemble
from sterna.golden.processor import Processor
from sterna.spec.processor import PROGRAM_WORDS, STACK, Code, Go, Mode, instruction

TEXT = """
; a comment
start:  load  #7            ; a number
        add   table + 1
        index
        add   =0xABCD
        store sum,x
loop:   call  routine
        goto  loop
routine: in   PORT
        return
.word table 1 0x20 -1
.room sum 3
"""


def test_text():
    found = assemble(TEXT, {"PORT": 9})
    assert found.program == (
        instruction(Code.LOAD, Mode.NUMBER, 7),
        instruction(Code.ADD, Mode.WORD, 1),
        instruction(Code.MOVE, 2, 0),
        instruction(Code.ADD, Mode.WORD, 6),
        instruction(Code.STORE, Mode.INDEXED, 3),
        instruction(Code.GO, Go.CALL, 7),
        instruction(Code.GO, Go.TO, 5),
        instruction(Code.IN, 0, 9),
        instruction(Code.GO, Go.RETURN, 0),
    )
    assert found.data == (1, 0x20, 0xFFFF, 0, 0, 0, 0xABCD)
    assert found.labels == {"start": 0, "loop": 5, "routine": 7}
    assert found.names == {"table": 0, "sum": 3}


def test_constants_share_a_word():
    assert assemble("load =4000\nadd =4000\nadd =2000 + 2000", {}).data == (4000,)


@pytest.mark.parametrize(
    "text, said",
    [
        ("load 1 +", "line 1"),
        ("\nbegin: begin: load #1", "begin"),
        ("a: load #1\na: load #2", "a is there twice"),
        (".word a 1\n.word a 2", "a is there twice"),
        ("load #1024", "operand must be 0 to 1023"),
        ("jump 5", "no instruction: jump 5"),
        ("left 5", "no instruction: left 5"),
        ("goto nowhere", "nowhere"),
        ("load #1\n" * (PROGRAM_WORDS + 1), "the program has 1025 words, there are 1024"),
        (f".room a {STACK + 1}", f"the data has {STACK + 1} words, there are {STACK}"),
    ],
)
def test_what_is_no_program_is_refused(text, said):
    with pytest.raises(AssemblyError, match=said):
        assemble(text, {})


def test_a_program_runs():
    """What is assembled does on the emulator what it says."""
    text = """
        in    0
        store n
        load  #1
again:  mul   n
        low
        store product
        load  n
        sub   #1
        store n
        ifz   done
        load  product
        goto  again
done:   load  product
        out   1
    .room n 1
    .room product 1
    """
    found, out = assemble(text, {}), []
    processor = Processor(found.program, found.data, lambda _: 6, lambda *item: out.append(item))
    while not out:
        processor.step()
    assert out == [(1, 720)]
