"""The chip: all units, wired along the picture in docs/architecture.md."""

from __future__ import annotations

from typing import Any

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from sterna.spec.axi4 import Axi4
from sterna.spec.chip import ChipConfig
from sterna.spec.memories import external
from sterna_rtl.control.banks import Banks
from sterna_rtl.control.checker import Checker
from sterna_rtl.control.counters import Counters
from sterna_rtl.control.generator import Generator
from sterna_rtl.control.loader import Loader
from sterna_rtl.control.logit_tap import LogitTap
from sterna_rtl.control.registers import REQUEST, Registers
from sterna_rtl.control.sequencer import Sequencer
from sterna_rtl.datapath.embedding import Embedding
from sterna_rtl.datapath.embedding_fetch import EmbeddingFetch
from sterna_rtl.datapath.engine import TernaryEngine
from sterna_rtl.datapath.epilogue import Epilogue
from sterna_rtl.datapath.quantizer import Quantizer
from sterna_rtl.datapath.sampler import Sampler
from sterna_rtl.family.ecp5 import global_net
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.regroup import Regroup
from sterna_rtl.lib.skid import Skid
from sterna_rtl.lib.stream import connect_stream, waits
from sterna_rtl.lib.turns import Turns
from sterna_rtl.memory.arbiter import Arbiter
from sterna_rtl.memory.axi4 import Axi4Channels
from sterna_rtl.memory.axi4_memory import Axi4Memory
from sterna_rtl.memory.block_port import BlockPort
from sterna_rtl.memory.pins import Pins
from sterna_rtl.memory.sdram import Sdram
from sterna_rtl.tape.fetch import TapeFetch
from sterna_rtl.tape.reader import TapeReader
from sterna_rtl.tape.ring import TapeRing
from sterna_rtl.tape.unpack import Unpacker

__all__ = ["Chip", "connect_memory", "memory_ports"]


class Chip(Component):
    """A whole accelerator with its model on chip, or with tape and embedding in a memory beside it.

    Parameters
    ----------
    config : ChipConfig
    clock_hz, uart_divisor : int
        See `Registers`.

    Attributes
    ----------
    i, o : stream.Interface
        Register requests and answers, see `sterna.spec.registers`.
    refused : Signal, out
        On the clock that takes a write: it had no effect.
    clear : Signal, in
        Reset all but what the RAMs hold.
    divisor : Signal, out
        The register UART_DIVISOR.
    i_tape : stream.Interface
        Only of a chip with a ring and no memory: the tape, word by word, round and round.
    restart : Signal, out
        With `i_tape`: the tape begins with its first word after this clock.
    space, tape_length : Signal, out
        With `i_tape`: words that the ring has room for, and the register TAPE_LENGTH.
    axi : array of Axi4Channels
        Only of a chip with a memory behind AXI4: its ports.
    pins : Pins
        Only of a chip with an SDRAM: that memory's. Each pad must have a register of its own, on
        its way out and in.
    """

    def __init__(self, config: ChipConfig, **constants: int) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST)),
                "o": Out(stream.Signature(32)),
                "refused": Out(1),
                "clear": In(1),
                "divisor": Out(16),
                **self._outside(),
            }
        )
        # Host side: survives a reset by command.
        self.registers = Registers(config, **constants)
        self.checker = Checker()
        self.loader = Loader(config)
        self.counters = Counters(config)
        self.banks = Banks(config)
        # Token side, in the order of the data path.
        self.source = TapeRing(config) if config.ring_words else TapeReader(config)
        self.sequencer = Sequencer(config)
        # Between the reader's queue and the `ready` of sequencer and engine.
        self.words = Skid(Layouts(config).tape_word)
        self.unpacker = Unpacker(config)
        self.engine = TernaryEngine(config)
        self.regroup = Regroup(config)
        self.epilogue = Epilogue(config)
        self.quantizer = Quantizer(config)
        # Registers on long ways: sequencer to quantizer, quantizer to epilogue.
        self.jobs = Turns(Layouts(config).quantizer_job)
        self.scales = Queue(Layouts(config).scale, 2)
        self.logit_tap = LogitTap(config)
        self.sampler = Sampler(config)
        self.generator = Generator(config)
        self.embedding = Embedding(config)
        self.reset = Signal()  # of the token side, a clock after it is asked for
        if config.memory:
            part = external(config.memory)
            self.fetch = TapeFetch(config, part)
            self.embedding_fetch = EmbeddingFetch(config, part)
            self.block_port = BlockPort(part)
            # What the loader asks for is least, the row of an embedding holds up everything.
            self.arbiter = Arbiter(part, ("loader", "embedding", "tape"))
            if isinstance(part, Axi4):
                self.memory = Axi4Memory(part)
            else:
                self.memory = Sdram(part, self.registers.clock_hz, pads=2)

    def _outside(self) -> dict:
        """Ports to what lies beside the chip."""
        if self.config.memory:
            return memory_ports(self.config)
        if self.config.ring_words:
            return {
                "i_tape": In(stream.Signature(Layouts(self.config).word)),
                "restart": Out(1),
                "space": Out(range(self.config.ring_words + 1)),
                "tape_length": Out(24),
            }
        return {}

    def elaborate(self, platform) -> Module:
        m = Module()
        # Registers on the way to the clock networks, whose ends are the middle of the chip's edges.
        clear = Signal()
        m.d.sync += [clear.eq(self.clear), self.reset.eq(self.registers.reset | self.clear)]
        clear = global_net(m, platform, "clear_net", clear)
        reset = global_net(m, platform, "reset_net", self.reset)
        m.submodules.banks = self.banks
        m.submodules["ring" if self.config.ring_words else "reader"] = self.source
        for name in ("registers", "checker", "loader", "counters"):
            m.submodules[name] = ResetInserter(clear)(getattr(self, name))
        for name in (
            "words", "sequencer", "unpacker", "engine", "regroup", "epilogue", "jobs", "quantizer",
            "scales", "logit_tap", "sampler", "generator", "embedding",
        ):  # fmt: skip
            m.submodules[name] = ResetInserter(reset)(getattr(self, name))
        self._host(m)
        self._tape(m)
        self._datapath(m)
        self._token(m)
        self._count(m)
        if self.config.memory:
            self._memory(m)
        return m

    def _host(self, m: Module) -> None:
        registers, checker, loader = self.registers, self.checker, self.loader
        connect_stream(m, self.i, registers.i)
        connect_stream(m, registers.o, self.o)
        connect_stream(m, registers.o_piece, checker.i)
        connect_stream(m, checker.o, registers.i_piece)
        connect_stream(m, checker.o_loader, loader.i)
        connect_stream(m, loader.o, checker.i_loader)
        m.d.comb += [
            self.refused.eq(registers.refused),
            self.divisor.eq(registers.divisor),
            registers.piece_room.eq(checker.i.ready),
            checker.start.eq(registers.check),
            checker.pieces.eq(registers.check_pieces),
            checker.abort.eq(self.reset),
            registers.checking.eq(checker.busy),
            registers.checksum.eq(checker.checksum),
            loader.restart.eq(self.reset),
            loader.memory.eq(registers.memory),
            loader.address.eq(registers.memory_address),
            loader.set_position.eq(registers.set_position),
            registers.position.eq(loader.position),
            registers.token_room.eq(self.generator.i_token.ready),
        ]
        if not self.config.memory:
            connect(m, loader.embedding, self.embedding.write)
            connect(m, loader.embedding_read, self.embedding.read)
        banks = self.banks
        # A clock late: a token needs longer than that to reach a bank, and the host to see the end.
        m.d.sync += banks.host.eq(~self.generator.busy)
        m.d.comb += [
            banks.embedding_reads.eq(self.embedding.reads),
            self.embedding.wait.eq(self.epilogue.o_norms.valid),
            banks.epilogue_reads.eq(self.epilogue.vector_reads),
        ]
        for ram in ("vector_a", "vector_b", "state"):
            connect(m, getattr(loader, ram), getattr(banks, f"loader_{ram}"))
            connect(m, getattr(loader, f"{ram}_read"), getattr(banks, f"loader_{ram}_read"))

    def _tape(self, m: Module) -> None:
        source, sequencer, length = self.source, self.sequencer, self.registers.tape_length
        on_chip = Signal()
        m.d.sync += on_chip.eq(length != 0)
        m.d.comb += source.restart.eq(self.reset)
        if self.config.ring_words:
            # From outside, or from the host as long as there is no tape of a length.
            with m.If(on_chip):
                connect_stream(m, self.fetch.o if self.config.memory else self.i_tape, source.i)
            with m.Else():
                connect_stream(m, self.loader.o_word, source.i)
            if self.config.memory:
                # Without a length nothing may be asked for while the memory is being written.
                m.d.comb += self.fetch.restart.eq(source.restart | ~on_chip)
            else:
                m.d.comb += [
                    self.restart.eq(source.restart),
                    self.space.eq(source.space),
                    self.tape_length.eq(length),
                ]
        else:
            connect(m, self.loader.tape, source.write)
            connect(m, self.loader.tape_read, source.read)
            connect_stream(m, self.loader.o_word, source.i)
            m.d.comb += [source.length.eq(length), source.idle.eq(~on_chip)]
        connect_stream(m, source.o, self.words.i)
        connect_stream(m, self.words.o, sequencer.i)
        connect_stream(m, sequencer.o_play, source.i_play)
        connect_stream(m, self.generator.o_pass, sequencer.i_pass)
        connect_stream(m, self.sequencer.o_sampler, self.sampler.i_job)
        connect_stream(m, self.sequencer.o, self.unpacker.i)
        connect_stream(m, self.sequencer.o_embedding, self.embedding.i_job)
        connect_stream(m, self.sequencer.o_quantizer, self.jobs.i)
        connect_stream(m, self.jobs.o, self.quantizer.i_job)
        connect_stream(m, self.sequencer.o_engine, self.engine.i_job)
        connect_stream(m, self.sequencer.o_epilogue, self.epilogue.i_job)

    def _memory(self, m: Module) -> None:
        """Wire the memory: whatever is reset, controller and arbiter do what was asked for."""
        fetch, rows, port, arbiter = (
            self.fetch, self.embedding_fetch, self.block_port, self.arbiter,
        )  # fmt: skip
        m.submodules.fetch = fetch
        m.submodules.embedding_fetch = rows
        m.submodules.block_port = port
        m.submodules.arbiter = arbiter
        m.submodules.memory = memory = self.memory
        for name, reader in (("embedding", rows), ("tape", fetch)):
            connect_stream(m, reader.o_request, getattr(arbiter, f"i_{name}"))
            connect_stream(m, getattr(arbiter, f"o_{name}"), reader.i)
        connect_stream(m, port.o_request, arbiter.i_loader)
        connect_stream(m, arbiter.o_loader, port.i_word)
        connect_stream(m, port.o_word, memory.i_word)
        connect_stream(m, arbiter.o, memory.i)
        connect_stream(m, memory.o, arbiter.i_word)
        connect_stream(m, self.loader.o_block, port.i)
        connect_stream(m, port.o, self.loader.i_block)
        connect_stream(m, self.embedding.o_row, rows.i_row)
        connect_stream(m, rows.o, self.embedding.i_row)
        connect_memory(m, memory, self)
        if isinstance(memory, Axi4Memory):
            m.d.comb += [
                memory.clear.eq(self.source.restart),
                self.registers.memory_fault.eq(memory.error),
            ]
        m.d.comb += [
            fetch.length.eq(self.registers.tape_length),
            fetch.blocks.eq(self.registers.tape_blocks),
            fetch.space.eq(self.source.space),
            rows.base.eq(self.registers.tape_blocks),
            rows.restart.eq(self.source.restart),
            port.restart.eq(self.clear),
        ]

    def _datapath(self, m: Module) -> None:
        banks = self.banks
        connect_stream(m, self.unpacker.o, self.engine.i_weights)
        connect_stream(m, self.engine.o, self.regroup.i)
        connect_stream(m, self.regroup.o, self.epilogue.i_sums)
        connect_stream(m, self.epilogue.o_norms, self.quantizer.i_norms)
        connect_stream(m, self.epilogue.o_results, self.quantizer.i_results)
        connect_stream(m, self.quantizer.o_activations, self.engine.i_activations)
        connect_stream(m, self.quantizer.o_scale, self.scales.i)
        connect_stream(m, self.scales.o, self.epilogue.i_scale)
        for bank in ("residual", "scratch", "state"):
            for port in ("read", "write"):
                name = f"{bank}_{port}"
                connect(m, getattr(self.epilogue, name), getattr(banks, f"epilogue_{name}"))
        connect(m, self.epilogue.vector_read, banks.epilogue_vector_read)
        for name in ("residual_read", "scratch_read", "vector_a_read", "vector_b_read"):
            connect(m, getattr(self.quantizer, name), getattr(banks, f"quantizer_{name}"))

    def _token(self, m: Module) -> None:
        registers, generator, sampler = self.registers, self.generator, self.sampler
        connect_stream(m, registers.o_token, generator.i_token)
        connect_stream(m, generator.o_token, self.embedding.i_token)
        connect_stream(m, self.embedding.o, self.epilogue.i_embedding)
        connect(m, self.embedding.vector_read, self.banks.embedding_vector_read)
        connect_stream(m, self.epilogue.o_logits, self.logit_tap.i)
        connect_stream(m, self.logit_tap.o, sampler.i_logits)
        connect_stream(m, self.logit_tap.o_logit, registers.i_logit)
        connect_stream(m, sampler.o_token, generator.i_sampled)
        connect_stream(m, generator.o_generated, registers.i_generated)
        m.d.comb += [
            self.logit_tap.keep.eq(registers.keep_logits),
            sampler.temperature.eq(registers.temperature),
            sampler.seed.eq(registers.seed),
            sampler.load_seed.eq(registers.load_seed),
            sampler.draw.eq(generator.draw),
            generator.count.eq(registers.count),
            generator.stop.eq(registers.stop),
            generator.abort.eq(registers.abort),
        ]
        if self.config.top_k:
            m.d.comb += [
                sampler.top_k.eq(registers.top_k),
                sampler.rank.eq(registers.rank),
                registers.ranked.eq(sampler.ranked),
            ]
        if self.config.log_probability:
            connect_stream(m, sampler.o_log_probability, registers.i_log_probability)
            m.d.comb += [
                sampler.target.eq(generator.target),
                sampler.scale.eq(registers.log_scale),
            ]

    def _count(self, m: Module) -> None:
        counters, engine, busy = self.counters, self.engine, self.generator.busy
        quantizer = self.quantizer
        barrier = quantizer.i_job.valid & ~quantizer.o_activations.valid
        m.d.comb += [
            counters.clear.eq(self.registers.clear_counters),
            counters.tokens.eq(self.generator.tokens),
            counters.segments.eq(self.epilogue.segment),
            counters.saturations.eq(self.epilogue.saturations),
            counters.clocks.eq(busy),
            counters.engine_busy.eq(engine.busy),
            counters.engine_starved.eq(engine.starved & busy),
            counters.engine_waiting.eq(engine.waiting & busy),
            counters.engine_blocked.eq(engine.blocked & busy),
            counters.tape_blocked.eq(waits(self.sequencer.i) & busy),
            counters.quantizer_barrier.eq(barrier & busy),
            counters.quantizer_blocked.eq(waits(quantizer.o_activations) & busy),
            counters.epilogue_blocked.eq(waits(self.epilogue.i_sums) & busy),
            counters.sampler_blocked.eq(waits(self.epilogue.o_logits) & busy),
            self.registers.busy.eq(busy | self.sampler.busy),
            self.registers.faults.eq(self.sequencer.faults),
            self.registers.fault_segment.eq(self.sequencer.fault_segment),
        ]
        m.d.comb += [
            self.registers.counters[index].eq(value) for index, value in enumerate(counters.values)
        ]


def memory_ports(config: ChipConfig) -> dict:
    """Return the ports of a chip to the memory beside it."""
    memory = external(config.memory)
    if isinstance(memory, Axi4):
        return {"axi": Out(Axi4Channels(memory)).array(memory.ports)}
    return {"pins": Out(Pins(memory))}


def connect_memory(m: Module, inner: Any, outer: Any) -> None:
    """Bring such ports of a part to those of the component that it is in."""
    if hasattr(inner, "pins"):
        connect(m, inner.pins, flipped(outer.pins))
    else:
        for number, port in enumerate(inner.axi):
            connect(m, port, flipped(outer.axi[number]))
