"""Bench of the epilogue: random segments through the golden functions, banks and all."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from amaranth import Cat, Module, Signal
from amaranth.hdl import Assert
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, Out

from sterna.golden import epilogue as golden
from sterna.golden.epilogue import Counters
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import RESIDUAL_BITS, SCRATCH_BITS, STATE_BITS, VECTOR_BITS
from sterna.spec.program import Op
from sterna.spec.ram import BANK_WORDS
from sterna.spec.trits import Packing
from sterna_rtl.arith.lane import Lane
from sterna_rtl.datapath.epilogue import Epilogue
from sterna_rtl.datapath.segment import SegmentControl
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import Case, Memory, Stalls, UnitBench, edited

__all__ = ["EpilogueBench", "LongBench", "ManyBench", "chip"]


def chip(
    rows: int,
    columns: int,
    elements: int,
    *,
    words: int,
    max_columns: int,
    slots: int = 1,
    deep: bool = False,
) -> ChipConfig:
    """Return a small chip whose residual bank has that many words; the other RAMs are deeper.

    `deep` side RAMs have more than a bank.
    """
    unused = ["tape_words", "vector_b_words", "embedding_words", "psum_words", "max_vocab"]
    return ChipConfig(
        rows=rows,
        columns=columns,
        elements=elements,
        packing=Packing.TWO_BITS,
        embedding_bits=8,
        residual_words=words,
        scratch_words=words + 1,
        state_words=2 * words + 1,
        vector_a_words=words + 2 + deep * BANK_WORDS,
        max_columns=max_columns,
        slots=slots,
        **dict.fromkeys(unused, 64),
    )


class Harness(Component):
    """The epilogue, a quantizer that is always ready, and the counters."""

    def __init__(self, unit: Epilogue) -> None:
        self.unit = unit
        self.norms, self.results = unit.layouts.norms, unit.layouts.results
        self.item = StructLayout({**self.results.members, **self.norms.members})
        members = {**unit.signature.members, "o_results": Out(stream.Signature(self.item))}
        del members["o_norms"]
        super().__init__({**members, "all_segments": Out(16), "all_saturations": Out(16)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        for name, member in unit.signature.members.items():
            if name in ("o_norms", "o_results"):
                continue
            ours, theirs = getattr(self, name), getattr(unit, name)
            if name.startswith(("i_", "o_")):
                connect_stream(m, *((ours, theirs) if name[0] == "i" else (theirs, ours)))
            elif member.is_port:
                m.d.comb += ours.eq(theirs)
            else:
                for part, side in member.signature.members.items():
                    pair = getattr(ours, part), getattr(theirs, part)
                    m.d.comb += pair[0].eq(pair[1]) if side.flow == Out else pair[1].eq(pair[0])
        m.submodules.quantizer = quantizer = Queue(self.item, 128)
        connect_stream(m, quantizer.o, self.o_results)
        # The addresses of some clocks before belong to the results.
        norms, results = unit.o_norms, unit.o_results
        given = Cat(norms.valid, norms.payload)
        came = delay_line(m, given, unit.config.side_clocks - 1, "came")[-1]
        addresses = Signal(self.norms)
        m.d.comb += addresses.eq(came[1:])
        for name in self.norms.members:
            m.d.comb += quantizer.i.payload[name].eq(addresses[name])
        for name in self.results.members:
            m.d.comb += quantizer.i.payload[name].eq(results.payload[name])
        m.d.comb += [
            norms.ready.eq(1),
            results.ready.eq(1),
            quantizer.i.valid.eq(results.valid),
            Assert(~results.valid | quantizer.i.ready, "too many results in a case"),
            Assert(came[0] == results.valid, "norms are not there when their results are"),
        ]
        m.d.sync += [
            self.all_segments.eq(self.all_segments + unit.segment),
            self.all_saturations.eq(self.all_saturations + unit.saturations),
        ]
        return m


@dataclass
class Machine:
    """Executes segments on banks in NumPy and notes what goes into the unit and comes out.

    Vectors have `length` elements and begin at word 0 of a slot's residual and scratch banks; what
    is behind them must stay as it is.
    """

    config: ChipConfig
    rng: np.random.Generator
    length: int
    counters: Counters
    clamped: Counter[tuple[Op, str]] = field(default_factory=Counter)
    inputs: dict[str, list] = field(default_factory=dict)
    outputs: dict[str, list] = field(default_factory=dict)
    memories: list[Memory] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inputs = {port: [] for port in ("i_job", "i_scale", "i_sums", "i_embedding")}
        self.outputs = {port: [] for port in ("o_results", "o_logits")}
        config = self.config
        self.words = -(-self.length // config.elements)
        self.state_base = int(self.rng.integers(config.state_words - self.words + 1))
        self.bound_base = int(self.rng.integers(config.vector_a_words - self.words + 1))
        self.x = self._bank("residual", config.residual_words, RESIDUAL_BITS, 0)
        self.scratch = self._bank("scratch", config.scratch_words, SCRATCH_BITS, 0)
        self.h = self._bank("state", config.state_words, STATE_BITS, self.state_base)
        limit = 1 << VECTOR_BITS
        self.bounds = self._mostly_random(0, limit - 1, config.vector_a_words * config.elements)
        words = self.bounds.reshape(-1, config.elements)
        self.memories.append(
            Memory(
                words,
                [("vector_read__address", "vector_read__data")],
                latency=self.config.side_clocks,
                name="vector_a",
            )
        )

    def _mostly_random(self, low: int, high: int, size: int) -> np.ndarray:
        values = self.rng.integers(low, high + 1, size)
        extremes = self.rng.choice([low, high, high - 1, low + 1, 0, 1], size)
        return np.where(self.rng.random(size) < 0.2, extremes, values)

    def _bank(self, name: str, words: int, bits: int, first: int) -> np.ndarray:
        """Fill a bank and return each slot's elements; the result is written back by `case`."""
        elements, slots = self.config.elements, self.config.slots
        limit = (1 << (bits - 1)) - 1
        content = self._mostly_random(-limit, limit, slots * words * elements)
        content = content.reshape(slots, -1)
        # The last word of a vector is padded with zeros, as its writers leave it.
        content[:, first * elements + self.length : (first + self.words) * elements] = 0
        memory = Memory(
            content.reshape(-1, elements).copy(),
            [(f"{name}_read__address", f"{name}_read__data")],
            [(f"{name}_write__enable", f"{name}_write__address", f"{name}_write__data")],
            expected=content.reshape(-1, elements),
            name=name,
        )
        self.memories.append(memory)
        return content

    def case(self, **facts) -> Case:
        """Return everything until now as a case."""
        totals = {
            "all_segments": self.counters.segments & 0xFFFF,
            "all_saturations": self.counters.saturations & 0xFFFF,
            "busy": 0,
            "vector_reads": 0,
        }
        return Case(self.inputs, self.outputs, finals=totals, memories=self.memories, **facts)

    def run_at_random(self, count: int) -> None:
        """Execute random operations in all slots, some of them cut into two segments."""
        rng, unit, slots = self.rng, max(self.config.elements, self.config.rows), self.config.slots
        ops = list(Op)
        rng.shuffle(ops)
        for op in itertools.islice(itertools.cycle(ops), count):
            # There may be more logits than a bank has words, and than the output queue holds.
            more = int(rng.integers(12 * self.config.elements)) if op is Op.LOGITS else 0
            length = self.length + more
            units = -(-length // unit)
            parts = [{"rows": length}]
            if op is not Op.EMBED and units > 1 and rng.random() < 0.5:
                cut = int(rng.integers(1, units)) * unit
                parts = [{"rows": cut, "more": 1}, {"rows": length - cut, "row": cut}]
            # A slot goes on from its own state, or each from that of the slot before.
            back = int(rng.integers(2))
            for part, slot in itertools.product(parts, range(slots)):
                self.run(op, **part, slot=slot, source=(slot - back) % slots)

    def run(
        self,
        op: Op,
        rows: int,
        *,
        row: int = 0,
        more: int = 0,
        slot: int = 0,
        source: int = 0,
        loud: bool = False,
    ) -> None:
        """Execute one segment; a loud one has shifts so small that much is clamped."""
        config, rng, elements = self.config, self.rng, self.config.elements
        words = -(-rows // elements)
        mantissa = int(rng.choice([0, 1 << 15, 65535, *rng.integers(1 << 15, 1 << 16, 9)]))
        sum_bits = 8 if op is Op.EMBED else config.row_sum_bits
        # y fills from a few bits to all, and some more.
        shift = int(np.clip(sum_bits + rng.integers(-3, 14), 0, 63))
        if rng.random() < 0.1:
            shift = int(rng.integers(64))
        if loud:
            mantissa, shift = 65535, sum_bits - 4
        job = {
            "op": op,
            "last": int(rng.integers(2)),
            "more": more,
            "rows": rows,
            "row": row,
            "vector_a": self.bound_base if op is Op.STATE else int(rng.integers(1 << 16)),
            "vector_b": int(rng.integers(1 << 16)),
            "state": self.state_base,
            "bounded": int(rng.integers(2)),
            "scale_exponent": -shift if op is Op.EMBED else int(rng.integers(-128, 128)),
            "sigmoid_shift": int(rng.integers(16)),
            "out_shift": int(rng.choice([rng.integers(8, 20), rng.integers(32)])),
            "residual_shift": int(rng.choice([0, rng.integers(16)])),
            "slot": slot,
            "source": source,
        }
        if loud:
            job |= {"out_shift": 4, "residual_shift": 0}
        self.inputs["i_job"].append(job)
        limit = 127 if op is Op.EMBED else 127 * config.max_columns
        sums = self._mostly_random(-limit, limit, rows)
        sums >>= rng.integers(0, sum_bits, rows) * (rng.random(rows) < 0.3)
        beats = np.zeros(words * elements, dtype=np.int64)
        beats[:rows] = sums
        beats = beats.reshape(words, elements)
        if op is Op.EMBED:
            for index, beat in enumerate(beats):
                item = {"elements": beat, "scale": mantissa, "last": index == words - 1}
                self.inputs["i_embedding"].append(item)
        else:
            self.inputs["i_scale"].append({"mantissa": mantissa, "shift": shift})
            dropped = rng.integers(-limit, limit + 1, (rng.choice([0, 0, 1, 3]), elements))
            items = [{"sums": beat, "last": 0} for beat in (*beats, *dropped)]
            items[-1]["last"] = 1
            self.inputs["i_sums"].extend(items)
        before = self.counters.saturations
        y = golden.pre_activation(
            sums[None], np.array([[mantissa]]), np.array([[shift]]), self.counters
        )
        self.clamped[op, "y"] += self.counters.saturations - before
        self._finish(op, job, y)
        self.counters.segments += not more

    def _finish(self, op: Op, job: dict, y: np.ndarray) -> None:
        counters, row, slot = self.counters, job["row"], job["slot"]
        part = slice(row, row + job["rows"])
        first_state = self.state_base * self.config.elements + row
        states = self.h[:, first_state : first_state + job["rows"]]
        x, scratch, h = self.x[slot, part], self.scratch[slot, part], states[slot]
        before = counters.saturations
        constants = job["sigmoid_shift"], job["out_shift"], counters
        second = np.zeros_like(y)
        match op:
            case Op.EMBED | Op.RESIDUAL:
                old = np.zeros_like(x) if op is Op.EMBED else x
                x[:] = golden.residual(y, old[None], job["residual_shift"], counters)[0]
                second[:] = x
            case Op.SILU:
                scratch[:] = golden.silu(y, *constants)[0]
            case Op.STATE:
                first = self.bound_base * self.config.elements + row
                bound = self.bounds[first : first + job["rows"]] if job["bounded"] else 0
                before_it = states[job["source"]].copy()
                h[:] = golden.state(y, before_it, scratch[None], bound, *constants)[0]
            case Op.GATE:
                scratch[:] = golden.gate(y, h[None], *constants)[0]
                second = y
            case Op.PRODUCT:
                scratch[:] = golden.product(y, scratch[None], job["out_shift"], counters)[0]
            case Op.LOGITS:
                self._logits(job, y[0])
        self.clamped[op, "result"] += counters.saturations - before
        if op.gathers:
            self._results(job, x if op in (Op.EMBED, Op.RESIDUAL) else scratch, second[0])

    def _words(self, values: np.ndarray) -> np.ndarray:
        elements = self.config.elements
        padded = np.zeros(-(-len(values) // elements) * elements, dtype=np.int64)
        padded[: len(values)] = values
        return padded.reshape(-1, elements)

    def _logits(self, job: dict, y: np.ndarray) -> None:
        words, exist = self._words(y), self._words(np.ones_like(y))
        weights = 1 << np.arange(self.config.elements)
        for index, (values, mask) in enumerate(zip(words, exist @ weights, strict=True)):
            self.outputs["o_logits"].append(
                {
                    "values": values,
                    "mask": mask,
                    "first": job["row"] == 0 and index == 0,
                    "last": not job["more"] and index == len(words) - 1,
                    "end": index == len(words) - 1,
                }
            )

    def _results(self, job: dict, values: np.ndarray, second: np.ndarray) -> None:
        words = self._words(values)
        first_word = job["row"] // self.config.elements
        for index, (value, other) in enumerate(zip(words, self._words(second), strict=True)):
            self.outputs["o_results"].append(
                {
                    "values": value,
                    "second": other,
                    "vector_a": (job["vector_a"] + first_word + index) & 0xFFFF,
                    "vector_b": (job["vector_b"] + first_word + index) & 0xFFFF,
                    "unit": job["op"] == Op.PRODUCT,
                    "first": first_word == 0 and index == 0,
                    "last": not job["more"] and index == len(words) - 1,
                    "slot": job["slot"],
                }
            )


def planted(old, new, part=None):
    """Return a planted bug: the epilogue with an edited text, or with an edited part."""

    def make(config):
        if part is None:
            return Harness(edited(Epilogue, old, new)(config))
        unit, broken = Epilogue(config), edited(part, old, new)
        if part is Lane:
            unit.lanes = [broken(config) for _ in unit.lanes]
        else:
            unit.control = broken(config, unit.writes)
        return Harness(unit)

    return make


class EpilogueBench(UnitBench):
    """Segments of all operations in random order under all stalls."""

    name = "epilogue"
    configs = {
        "4x6-2": chip(4, 6, 2, words=4, max_columns=768),
        "2x12-4": chip(2, 12, 4, words=3, max_columns=96),
        "1x3-1-wide": chip(1, 3, 1, words=4, max_columns=1 << 16),
        "2x6-2-of-2-slots": chip(2, 6, 2, words=4, max_columns=96, slots=2),
        "1x3-1-of-3-slots": chip(1, 3, 1, words=4, max_columns=96, slots=3),
        "2x6-2-deep": chip(2, 6, 2, words=4, max_columns=96, deep=True),
    }
    cocotb_configs = ()
    bugs = {
        "embedding added to old residual": planted(
            "Mux(self.copy.operation.embed, 0", "Mux(0, 0", Lane
        ),
        "lower bound where there is none": planted("Mux(self.copy.bounded,", "Mux(1,", Lane),
        "f h rounded down": planted("C(1 << 15, 16), h_late", "C(0, 16), h_late", Lane),
        "product with sigmoid rounded down": planted(
            "C(1 << 15, 16), free", "C(0, 16), free", Lane
        ),
        "begins before the last write": planted(
            "Cat(self.sums_end, ending)", "Cat(self.sums_end, 1)", SegmentControl
        ),
        "next job a clock too early": planted(
            "self.at(self.ended, self.writes, -1)",
            "self.at(self.ended, self.writes, -2)",
            SegmentControl,
        ),
        "stages not cleared": planted("[valid.eq(0), ended.eq(0)]", "[]", SegmentControl),
        "keeps a beat too many": planted(
            "m.d.sync += self.drops.eq(~ends[0])", "m.d.sync += self.drops.eq(0)", SegmentControl
        ),
        "drops the next segment's too": planted(
            "m.d.sync += self.drops.eq(~ends[0])", "pass", SegmentControl
        ),
        "last of a part of a matrix": planted("(ended & ~control.job.more)", "(ended)"),
        "cut matrix written from the top": planted(
            "address.eq(start + first_word)", "address.eq(start)"
        ),
        "mask of a whole word": planted("(rest == 0) |", "1 |"),
        "room for one more logit": planted(
            "range(depth + 1), init=depth", "range(depth + 2), init=depth + 1"
        ),
        "end of the last part only": planted(
            "payload.end.eq(ended)", "payload.end.eq(ended & ~control.job.more)"
        ),
        "state of the own slot": planted(
            "Mux(control.operation.state, job.source, job.slot)", "job.slot"
        ),
        "state of the source for a gate": planted(
            "Mux(control.operation.state, job.source, job.slot)", "job.source"
        ),
        "state to the source": planted(
            '(Op.STATE,), first_word(self.config, "state", job.slot)',
            '(Op.STATE,), first_word(self.config, "state", job.source)',
        ),
        "residual of the first slot": planted(
            '"residual", first_word(self.config, "residual", job.slot)', '"residual", 0'
        ),
        "scratch of the first slot": planted(
            '"scratch", first_word(self.config, "scratch", job.slot)', '"scratch", 0'
        ),
        "results of the first slot": planted("payload.slot.eq(job.slot)", "payload.slot.eq(0)"),
    }
    bug_configs = ("2x6-2-of-2-slots", "4x6-2")
    not_stalled = {
        "i_job": "asked for once a segment, when it has often come already",
        "i_scale": "the same",
        "i_embedding": "a few beats only",
    }
    drain = 32

    def dut(self, config):
        return Harness(Epilogue(config))

    def cases(self, config, rng):
        counters = Counters()
        longest = config.residual_words * config.elements
        for length in (int(rng.integers(1, longest)), config.elements):
            machine = Machine(config, rng, length, counters)
            machine.run_at_random(9 if config.slots == 1 else 7)
            yield machine.case(name=f"{length=}")


class LongBench(EpilogueBench):
    """Many values through the compiled unit; each way to clamp is met."""

    name = "epilogue-long"
    configs = {
        "8x6-2": chip(8, 6, 2, words=9, max_columns=768),
        "1x3-1-wide": chip(1, 3, 1, words=12, max_columns=6912),
        "2x6-2-of-2-slots": chip(2, 6, 2, words=6, max_columns=96, slots=2),
    }
    cocotb_configs = tuple(configs)
    stalls = (Stalls(), Stalls("random", "random"))

    def cases(self, config, rng):
        counters, clamped = Counters(), Counter()
        longest = config.residual_words * config.elements
        for length in (longest, *rng.integers(1, longest, 11).tolist()):
            machine = Machine(config, rng, length, counters, clamped)
            if length == longest:
                for op in Op:
                    machine.run(op, length, loud=True)
            machine.run_at_random(14 if config.slots == 1 else 7)
            yield machine.case(name=f"{length=}")
        for op in Op:
            assert clamped[op, "y"], f"no y of {op.name} was clamped"
            result = clamped[op, "result"] or op in (Op.EMBED, Op.LOGITS)
            assert result, f"no result of {op.name} was clamped"


class ManyBench(EpilogueBench):
    """Many short segments on the unit whose mutants are judged."""

    name = "epilogue-many"
    configs = {"2x6-2-of-2-slots": EpilogueBench.configs["2x6-2-of-2-slots"]}
    cocotb_configs = tuple(configs)
    bug_configs = cocotb_configs
    stalls = (Stalls(), Stalls("random", "random"))

    def cases(self, config, rng):
        counters, longest = Counters(), config.residual_words * config.elements
        for number, length in enumerate(rng.integers(1, longest + 1, 100).tolist()):
            machine = Machine(config, rng, length, counters)
            if number % 4 == 0:
                for op in Op:
                    machine.run(op, length, loud=True)
            machine.run_at_random(7)
            yield machine.case(name=f"{length=}")
        # More logits than fit into the output queue, a beat on every clock.
        for rows in (0x2FF, 0x32FF):
            machine = Machine(config, rng, 1, counters)
            machine.run(Op.LOGITS, rows, slot=1)
            yield machine.case(name=f"{rows=}", clocks=rows // config.elements + 24)
