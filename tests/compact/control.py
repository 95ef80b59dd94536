"""Who gives a small chip's compute part its commands: what its control processor will have to do.

What a segment's scale and reciprocal are is computed here by the golden functions, in no time.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from sterna.golden import quantizer, scale
from sterna.golden.compact import Done
from sterna.model.layout import Image
from sterna.spec.compact import (
    CELLS,
    COLUMNS,
    LONGEST,
    Cell,
    Place,
    Program,
    Shift,
)
from sterna.spec.fixed import SUM_SHIFT, VECTOR_BITS, normalise
from sterna.spec.program import Op, Stats
from sterna.spec.tape import Header
from tests.compact.segments import OPERATIONS, STATISTICS

__all__ = ["Control"]

_DOINGS = "load", "embed", "lanes", "programs", "settings", "sampler"
VOCABULARY = 256
_BEHIND = 5
"""Clocks by which row sums are read behind the lanes."""


class Control:
    """Load an image and step tokens.

    Attributes
    ----------
    clocks : dict
        Clocks by what they were spent on.
    clamped : int
        Results that were clamped.
    """

    def __init__(self, ctx, compute, image: Image, embedding: np.ndarray) -> None:
        self.ctx, self.compute, self.image, self.embedding = ctx, compute, image, embedding
        self.vectors = np.concatenate([image.vector_a[:, 0], image.vector_b[:, 0]]) & 0xFFFF
        self.second = len(image.vector_a)
        self.states = len(self.vectors)
        self.one = self.states + LONGEST
        self.largest, self.root, self.sums = 0, (0, 0), (0, 0)
        self.clocks = dict.fromkeys(
            ("load", "embed", "lanes", "programs", "settings", "sampler"), 0
        )
        self.doing = "load"
        self.clamped, self.ended = 0, False

    async def tick(self) -> None:
        """Let a clock pass; a block and noise that are done on it are taken away."""
        self.clocks[self.doing] += 1
        block, noise = self.compute.i_block, self.compute.i_noise
        ended = self.ctx.get(block.valid) and self.ctx.get(block.ready)
        made = self.ctx.get(noise.valid) and self.ctx.get(noise.ready)
        await self.ctx.tick()
        if made:
            self.ctx.set(noise.valid, 0)
        if ended:
            self.ctx.set(block.valid, 0)
            self.ended = True

    async def write(self, name: str, address: int, value: int) -> None:
        port = getattr(self.compute, f"new_{name}")
        self.ctx.set(port.address, int(address))
        self.ctx.set(port.data, int(value))
        self.ctx.set(port.enable, 1)
        await self.tick()
        self.ctx.set(port.enable, 0)

    async def load(self) -> None:
        """Bring tape, vectors and what never changes to their places."""
        words = self.image.tape.astype(np.uint64)
        for address, (low, high) in enumerate(words.tolist()):
            await self.write("tape", address, low | high << 32)
        ones = np.repeat([1, 0xFFFF], LONGEST // 3)
        everything = np.concatenate([self.vectors, np.zeros(LONGEST, dtype=np.int64), ones])
        signed = everything.astype(np.uint16).view(np.int16)
        for place in range(0, len(signed), LONGEST):
            await self.fill(place, signed[place : place + LONGEST].tolist())
        for place, address in ((Place.ONE, self.one), (Place.MINUS_ONE, self.one + LONGEST // 3)):
            await self.write("place", place, address)
        for shift, amount in ((Shift.SQUARE, SUM_SHIFT), (Shift.FRACTION, VECTOR_BITS)):
            await self.write("shift", shift, amount)

    async def fill(self, place: int, values: list[int]) -> None:
        """Bring words to the vector memory."""
        await self.write("place", Place.STATE, place)
        for row, value in enumerate(values):
            await self.write("sums", row, value)
        await self.run(Program.LOAD, 0, len(values) - 1)

    def begin(self, program: Program, first: int, last: int) -> None:
        self.ctx.set(self.compute.i.payload, {"program": program, "first": first, "last": last})
        self.ctx.set(self.compute.i.valid, 1)
        self.ctx.set(self.compute.o.ready, 1)

    async def end(self) -> Done:
        while not self.ctx.get(self.compute.o.valid):
            await self.tick()
        done = self.ctx.get(self.compute.o.payload)
        await self.tick()
        self.ctx.set(self.compute.i.valid, 0)
        self.clamped += done.clamped
        names = (field.name for field in fields(Done))
        return Done(**{name: getattr(done, name) for name in names})

    async def run(self, program: Program, first: int, last: int) -> Done:
        self.begin(program, first, last)
        return await self.end()

    async def constant(self, cell: Cell, value: int) -> None:
        """Set a factor."""
        await self.write("sums", CELLS + cell, value)
        await self.run(Program.SET_FACTORS, CELLS + cell, CELLS + cell)

    async def step(self, token: int) -> None:
        """Do one token; its logits are the last pre-activations."""
        for segment in self.image.segments:
            header = segment.header
            await self.settings(header)
            if header.op is Op.EMBED:
                await self.embed(header, token)
            else:
                await self.quantise(header)
                await self.blocks(header, segment.first_word)
            await self.operation(header)

    async def temperature(self, value: int) -> None:
        """Set the temperature of all tokens from now on."""
        self.doing = "load"
        await self.fill(self.one + LONGEST, [value - (value >> 15 << 16)] * VOCABULARY)
        await self.write("place", Place.TEMPERATURE, self.one + LONGEST)

    async def draw(self, state: int) -> None:
        """Begin to make the noise of a token; it is there long before the logits are."""
        self.doing = "sampler"
        for number in range(4):
            self.ctx.set(self.compute.piece, state >> 16 * number & 0xFFFF)
            self.ctx.set(self.compute.loads, 1)
            await self.tick()
        self.ctx.set(self.compute.loads, 0)
        self.ctx.set(self.compute.i_noise.payload, VOCABULARY - 1)
        self.ctx.set(self.compute.i_noise.valid, 1)

    async def choose(self) -> int:
        """Return the token that is drawn from the logits."""
        self.doing = "sampler"
        assert not self.ctx.get(self.compute.i_noise.valid)
        return (await self.run(Program.SCORE, 0, VOCABULARY - 1)).element

    async def settings(self, header: Header) -> None:
        self.doing = "settings"
        places = {
            Place.STATE: self.states + header.state,
            Place.BOUND: header.vector_a,
            Place.SUM_WEIGHTS: header.vector_a,
            Place.WEIGHTS: self.second + header.vector_b,
            Place.QUANTISE: self.second + header.vector_q,
        }
        for place, address in places.items():
            await self.write("place", place, address)
        await self.write("shift", Shift.SIGMOID, header.sigmoid_shift)
        await self.write("shift", Shift.OUT, header.out_shift)
        await self.write("shift", Shift.RESIDUAL, header.residual_shift)

    async def embed(self, header: Header, token: int) -> None:
        self.doing = "embed"
        scale_of_row = int(self.vectors[header.vector_q + token])
        await self.scale(scale_of_row, -header.scale_exponent)
        for number, value in enumerate(self.embedding[token].tolist()):
            await self.write("sums", number, value)
        self.doing = "programs"
        await self.run(Program.SUMS, 0, header.rows - 1)

    async def scale(self, mantissa: int, shift: int) -> None:
        assert shift < 32  # of this model; FAR_SUMS has a test of its own
        await self.constant(Cell.MANTISSA, mantissa)
        await self.write("shift", Shift.SCALE, shift)

    async def quantise(self, header: Header) -> None:
        """Set what the quantisation needs of statistics and header."""
        self.doing = "programs"
        if header.stats is Stats.MAXIMUM:
            await self.write("place", Place.WEIGHTS, self.second + header.vector_q)
            done = await self.run(Program.LARGEST, 0, header.source_words - 1)
            self.largest = done.largest
            await self.write("place", Place.WEIGHTS, self.second + header.vector_b)
        if header.stats is Stats.FRESH:
            eps = header.eps_mantissa, header.eps_exponent
            total = scale.denominator(*self.sums, eps, header.eps_constant)
            self.root = scale.inverse_root(total)
        self.doing = "settings"
        mantissa, exponent = normalise(self.largest, quantizer.MAXIMUM_BITS)
        await self.constant(Cell.RECIPROCAL, quantizer.reciprocal(mantissa))
        await self.write("shift", Shift.CUT, max(exponent, 0))
        await self.write("shift", Shift.ACTIVATION, quantizer.RECIPROCAL_SHIFT + min(exponent, 0))
        constant = header.scale_mantissa, header.scale_exponent
        await self.scale(*scale.output_scale(self.largest, self.root, constant))

    async def blocks(self, header: Header, first_word: int) -> None:
        """Pass the blocks of a matrix, beside them cut the next one's source or read the sums."""
        ctx, block = self.ctx, self.compute.i_block
        cut = Program.CUT_SCRATCH if header.op is Op.RESIDUAL else Program.CUT
        ctx.set(self.compute.tape_address, first_word)
        ctx.set(self.compute.seeks, 1)
        await self.tick()
        ctx.set(self.compute.seeks, 0)
        self.doing = "programs"
        await self.activate(cut, 0)
        for number in range(header.blocks):
            ends = number == header.blocks - 1
            flags = {"last_row": header.rows - 1, "begins": number == 0, "ends": ends}
            self.doing = "lanes"
            ctx.set(block.payload, flags)
            ctx.set(block.valid, 1)
            await self.tick()
            if ends:
                for _ in range(_BEHIND):
                    await self.tick()
                await self.run(Program.SUMS, 0, header.rows - 1)
            else:
                await self.activate(cut, COLUMNS * (number + 1))
            while not self.ended:
                await self.tick()
            self.ended = False

    async def activate(self, cut: Program, first: int) -> None:
        """Shift a block's activations into the lanes."""
        for program in (cut, Program.ACTIVATE):
            await self.run(program, first, first + COLUMNS - 1)

    async def operation(self, header: Header) -> None:
        """Do what follows the pre-activations."""
        self.doing = "programs"
        part, op = (0, header.rows - 1), header.op
        if op is Op.STATE:
            await self.run(Program.BOUNDED_STATE if header.bounded else Program.STATE, *part)
        elif op in OPERATIONS:
            second = (await self.run(OPERATIONS[op], *part)).total
            if op in STATISTICS:
                done = await self.run(STATISTICS[op], *part)
                self.largest, self.sums = done.largest, (done.total, second)
                if op is Op.PRODUCT:
                    self.sums = done.total, 0
