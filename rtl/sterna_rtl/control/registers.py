"""Registers: the host's view of a chip, decoded from one request stream."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import LOG_PROBABILITY_BITS, LOG_SCALE_BITS, PRE_BITS
from sterna.spec.memories import MEMORIES, external
from sterna.spec.registers import (
    CONFIG_REGISTERS,
    INTERFACE_VERSION,
    MAGIC,
    REGISTERS,
    SLOT_SHIFT,
    SOURCE_SHIFT,
    STOPS,
    WAIT_CLOCKS,
    Control,
    Counter,
    Memory,
    Status,
)
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import transfers

__all__ = ["BEFORE_REGISTERS", "REQUEST", "Registers"]

REQUEST = StructLayout({"write": 1, "address": 8, "data": 32})

BEFORE_REGISTERS = {
    "i": In(stream.Signature(REQUEST)),
    "o": Out(stream.Signature(32)),
    "refused": Out(1),
    "o_request": Out(stream.Signature(REQUEST)),
    "i_answer": In(stream.Signature(32)),
    "i_refused": In(1),
}
"""Ports of what stands between a host and the registers: requests, answers and refusals on either
side."""


class Registers(Component):
    """Decode register reads and writes; see `sterna.spec.registers` for their meaning.

    A write to TOKEN or DATA waits while its target has no room, and so does every request behind
    it; after `WAIT_CLOCKS` it is taken without effect and `refused` tells. What moves or shows the
    loader's position (MEMORY, ADDRESS, CHECK) waits in the same way until the loader has done with
    the piece before. An address that is no register reads as 0; writing it does nothing.

    Parameters
    ----------
    config : ChipConfig
    clock_hz : int
        What CLOCK_HZ shows.
    uart_divisor : int
        UART_DIVISOR after reset.

    Attributes
    ----------
    i, o : stream.Interface
        Requests, and an answer for each read. `o` and `i.ready` are registered.
    refused : Signal, out
        On the clock that takes a write: it had no effect. Registered.
    reset, abort, load_seed, clear_counters : Signal, out
        CONTROL: up for the one clock on which it is taken; the next request can have an effect two
        clocks later, for a reset has its way to go. `abort` and `load_seed` for the slot that SLOT
        says. Registered.
    tape_length, temperature, seed, count, stop, keep_logits : out
        Settings, as they were written last; all 0 after reset. `temperature` and `count` for each
        slot.
    tape_blocks : Signal, out
        TAPE_BLOCKS; only if the configuration has a memory.
    divisor : Signal, out
        UART_DIVISOR.
    busy, faults, memory_fault, fault_segment, counters, checking, checksum : in
        What STATUS, the counters and CHECKSUM show.
    check, check_pieces : Signal, out
        CHECK: up for the one clock on which it is taken, and its value. Registered.
    o_token : stream.Interface
        TOKEN. Before its request is taken, as `o_piece`; valid only if there is room.
    token_room, piece_room : Signal, in
        `ready` of whoever takes `o_token` and `o_piece`, which must not depend on `valid`. With
        `piece_room`, `position` counts all pieces that were taken.
    top_k, rank : Signal, out
    ranked : View, in
        TOP_K and RANK, and what BEST_TOKEN and BEST_LOGIT show; only if the configuration has
        `top_k`.
    log_scale : Signal, out
    i_log_probability : stream.Interface
        LOG_SCALE and LOG_PROBABILITY; only if the configuration has them. TARGET goes with TOKEN.
    i_generated, i_logit : stream.Interface
        GENERATED and LOGIT; a read takes an item if there is one.
    memory, memory_address : Signal, out
        The loader's next position, taken on clocks with `set_position`: MEMORY begins at word 0.
        Registered.
    position : Signal, in
        What ADDRESS shows.
    o_piece, i_piece : stream.Interface
        DATA: pieces to write and requests to read, and the pieces read.

    Latency
        A read is taken after 5 clocks, and its answer comes a clock later: one for a copy of the
        request, so that the link's registers may be far away, and three to choose among what does
        not move. For DATA 3 clocks more than the loader takes. A write is taken after 2.

    Throughput
        A write every 3 clocks, a read every 6.
    """

    def __init__(
        self, config: ChipConfig, clock_hz: int = 48_000_000, uart_divisor: int = 417
    ) -> None:
        self.config = config
        self.clock_hz = clock_hz
        self.uart_divisor = uart_divisor
        self.layouts = layouts = Layouts(config)
        token, slot = layouts.token, layouts.slot
        best = {"top_k": Out(5), "rank": Out(4), "ranked": In(layouts.ranked)}
        log_probability = {
            "log_scale": Out(LOG_SCALE_BITS),
            "i_log_probability": In(stream.Signature(signed(LOG_PROBABILITY_BITS))),
        }
        part = external(config.memory) if config.memory else None
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST)),
                "o": Out(stream.Signature(32)),
                "refused": Out(1),
                "reset": Out(1),
                "abort": Out(config.slots),
                "load_seed": Out(config.slots),
                "clear_counters": Out(1),
                "tape_length": Out(24),
                "temperature": Out(ArrayLayout(16, config.slots)),
                "seed": Out(64),
                "count": Out(ArrayLayout(16, config.slots)),
                "stop": Out(ArrayLayout(StructLayout({"token": token, "valid": 1}), STOPS)),
                "keep_logits": Out(1),
                **(best if config.top_k else {}),
                **({"tape_blocks": Out(range(part.blocks))} if part else {}),
                **(log_probability if config.log_probability else {}),
                "divisor": Out(16, init=uart_divisor),
                "busy": In(1),
                "faults": In(2),
                "memory_fault": In(1),
                "fault_segment": In(16),
                "counters": In(32).array(len(Counter)),
                "check": Out(1),
                "check_pieces": Out(32),
                "checking": In(1),
                "checksum": In(32),
                "o_token": Out(stream.Signature(layouts.prompt)),
                "token_room": In(1),
                "i_generated": In(
                    stream.Signature(StructLayout({"token": token, "slot": slot, "last": 1}))
                ),
                "i_logit": In(stream.Signature(signed(PRE_BITS))),
                "memory": Out(Memory),
                "memory_address": Out(24),
                "set_position": Out(1),
                "position": In(24),
                "o_piece": Out(stream.Signature(StructLayout({"read": 1, "data": 32}))),
                "piece_room": In(1),
                "i_piece": In(stream.Signature(32)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        request = Signal(REQUEST)  # a clock behind the one that waits on `i`
        held, settled = Signal(), Signal(3)  # it does wait, and `shown` is of its address
        write, read = Signal(), Signal()  # it waits for its target
        value, done = Signal(32), Signal()  # its answer; its target has taken or given
        # Answers that nothing but a write changes: some 60 words, chosen in three steps.
        static: dict[str, list[Value]] = {"constant": [], "set": [], "counted": []}
        chosen = {name: Signal(32, name=f"chosen_{name}") for name in static}
        shown = Signal(32)
        waits = Signal()  # for room
        waited, patient = Signal(range(WAIT_CLOCKS)), Signal(init=1)
        m.d.sync += waited.eq(Mux(waits, waited + 1, 0))
        m.d.sync += patient.eq(~waits | (waited != WAIT_CLOCKS - 2))
        commands, slot = Signal(len(Control)), Signal(self.layouts.slot)
        m.d.sync += commands.eq(0)
        for command in Control:
            strobe = getattr(self, command.name.lower())
            of_one = command in (Control.ABORT, Control.LOAD_SEED)
            m.d.comb += (of_slot(strobe, slot) if of_one else strobe).eq(commands[command])
        taken, ends = Signal(), (write | read) & done
        m.d.sync += [
            request.eq(self.i.payload),
            held.eq(self.i.valid & ~taken & ~ends),
            settled.eq(Mux(held, Cat(C(1, 1), settled), 0)),
            taken.eq(ends),
            shown.eq(reduce(or_, chosen.values())),
            self.refused.eq(0),
            self.check.eq(0),
            self.set_position.eq(0),
        ]
        m.d.comb += [
            self.i.ready.eq(taken),
            write.eq(held & request.write),
            read.eq(held & settled[-1] & ~request.write & ~self.o.valid),
            done.eq(1),
            value.eq(shown),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(read):  # the last clock of it counts
            m.d.sync += self.o.payload.eq(value)
        # Not before the request is taken: who gave it may look for the answer from then on.
        with m.If(taken & ~request.write):
            m.d.sync += self.o.valid.eq(1)

        settings = {
            "TAPE_LENGTH": self.tape_length,
            "SLOT": slot,
            "TEMPERATURE": of_slot(self.temperature, slot),
            "SEED_LOW": self.seed[:32],
            "SEED_HIGH": self.seed[32:],
            "COUNT": of_slot(self.count, slot),
            "LOGITS": self.keep_logits,
            "UART_DIVISOR": self.divisor,
        }
        target = Signal(self.layouts.target)
        if self.config.top_k:
            settings |= {"TOP_K": self.top_k, "RANK": self.rank}
        if self.config.log_probability:
            settings["LOG_SCALE"] = self.log_scale
        if self.config.memory:
            settings["TAPE_BLOCKS"] = self.tape_blocks
        constants = {
            "MAGIC": MAGIC,
            "VERSION": INTERFACE_VERSION,
            "DIGEST_LOW": int(self.config.digest, 16) & 0xFFFFFFFF,
            "DIGEST_HIGH": int(self.config.digest, 16) >> 32,
            "CLOCK_HZ": self.clock_hz,
            **{name: int(getattr(self.config, f)) for name, f in CONFIG_REGISTERS.items()},
            "CONFIG_MEMORY": MEMORIES.index(self.config.memory),
        }
        status = Signal(32)
        m.d.comb += status.eq(
            Cat(
                *(self.busy, self.faults, self.checking, self.memory_fault),
                *(C(0, 11), self.fault_segment),
            )
        )
        assert [bit.value for bit in Status] == [0, 1, 2, 3, 4]

        def case(name: str):
            return m.Case(REGISTERS[name].address)

        def show(kind: str, name: str, value: Value) -> None:
            """Let a register be read."""
            meant = Signal(name=f"{name.lower()}_meant")
            m.d.sync += meant.eq(request.address == REGISTERS[name].address)
            static[kind].append(Mux(meant, value, 0))

        def wait(room: Value) -> None:
            """A request is done once there is room, or without effect at the end of patience."""
            m.d.comb += [
                waits.eq((write | read) & ~room & patient),
                done.eq(room | ~patient),
            ]
            m.d.sync += self.refused.eq(write & ~room & ~patient)

        for name, constant in constants.items():
            show("constant", name, C(constant, 32))
        for name, setting in settings.items():
            show("set", name, setting)
        for number, stop in enumerate(self.stop):
            show("set", f"STOP_{number}", stop.token | stop.valid << 31)
        for counter in Counter:
            show("counted", f"COUNTER_{counter.name}", self.counters[counter])
        show("set", "STATUS", status)
        show("set", "MEMORY", self.memory)
        show("set", "CHECKSUM", self.checksum)
        if self.config.top_k:
            show("set", "BEST_TOKEN", self.ranked.token | self.ranked.exists << 31)
            show("set", "BEST_LOGIT", self.ranked.logit)
        if self.config.log_probability:
            show("set", "TARGET", target.token | target.valid << 31)
        for kind, values in static.items():
            m.d.sync += chosen[kind].eq(reduce(or_, values))

        with m.Switch(request.address):
            for name, setting in settings.items():
                with case(name):
                    with m.If(write):
                        m.d.sync += setting.eq(request.data)
            for number, stop in enumerate(self.stop):
                with case(f"STOP_{number}"):
                    with m.If(write):
                        m.d.sync += [stop.token.eq(request.data), stop.valid.eq(request.data[31])]
            with case("CONTROL"):
                with m.If(write):
                    m.d.sync += commands.eq(request.data)
            with case("TOKEN"):
                m.d.comb += self.o_token.valid.eq(write & self.token_room)
                with m.If(write):
                    wait(self.token_room)
            with case("GENERATED"):
                token = self.i_generated.payload
                m.d.comb += self.i_generated.ready.eq(read)
                with m.If(self.i_generated.valid):
                    m.d.comb += value.eq(
                        token.token | token.slot << SLOT_SHIFT | token.last << 30 | 1 << 31
                    )
            with case("LOGIT"):
                m.d.comb += self.i_logit.ready.eq(read)
                with m.If(self.i_logit.valid):
                    m.d.comb += value.eq(Cat(self.i_logit.payload, C(0, 15), C(1, 1)))
            if self.config.log_probability:
                with case("TARGET"):
                    with m.If(write):
                        m.d.sync += [
                            target.token.eq(request.data),
                            target.valid.eq(request.data[31]),
                        ]
                with case("LOG_PROBABILITY"):
                    m.d.comb += self.i_log_probability.ready.eq(read)
                    with m.If(self.i_log_probability.valid):
                        bits = self.i_log_probability.payload.as_unsigned()
                        m.d.comb += value.eq(bits | 1 << 31)
            with case("MEMORY"):
                wait(self.piece_room)
                with m.If(write & self.piece_room):
                    m.d.sync += [self.memory.eq(request.data), self.memory_address.eq(0)]
                    m.d.sync += self.set_position.eq(1)
            with case("ADDRESS"):
                m.d.comb += value.eq(self.position)
                wait(self.piece_room)
                with m.If(write & self.piece_room):
                    m.d.sync += [self.memory_address.eq(request.data), self.set_position.eq(1)]
            with case("DATA"):
                self._data(m, request, write, read, value, done)
                with m.If(write):
                    wait(self.piece_room)
            with case("CHECK"):
                m.d.sync += self.check.eq(write & self.piece_room)
                wait(self.piece_room)
        m.d.comb += [
            self.check_pieces.eq(request.data),
            self.o_token.payload.token.eq(request.data[:SLOT_SHIFT]),
            self.o_token.payload.slot.eq(request.data[SLOT_SHIFT:]),
            self.o_token.payload.source.eq(request.data[SOURCE_SHIFT:]),
            self.o_token.payload.more.eq(request.data[30]),
            self.o_token.payload.draw.eq(request.data[31]),
        ]
        if self.config.log_probability:
            m.d.comb += self.o_token.payload.target.eq(target)
        return m

    def _data(
        self, m: Module, request, write: Signal, read: Signal, value: Signal, done: Signal
    ) -> None:
        """Pieces to and from the loader; a read asks first and waits for the answer."""
        asked = Signal()
        m.d.comb += [
            self.o_piece.payload.read.eq(~write),
            self.o_piece.payload.data.eq(request.data),
            self.o_piece.valid.eq(Mux(write, self.piece_room, read & ~asked)),
            self.i_piece.ready.eq(read & asked),
            value.eq(self.i_piece.payload),
        ]
        with m.If(read):
            m.d.comb += done.eq(transfers(self.i_piece))
            m.d.sync += asked.eq(Mux(asked, ~self.i_piece.valid, self.o_piece.ready))
