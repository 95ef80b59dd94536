"""Registers: every register of the map, its strobes and streams, and the stream contract."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna.spec.fixed import LOG_PROBABILITY_BITS, LOG_SCALE_BITS, PRE_BITS
from sterna.spec.memories import MEMORIES
from sterna.spec.registers import (
    CONFIG_REGISTERS,
    INTERFACE_VERSION,
    LAST,
    MAGIC,
    MORE,
    REGISTERS,
    SLOT_SHIFT,
    SOURCE_SHIFT,
    STOPS,
    VALID,
    WAIT_CLOCKS,
    Control,
    Counter,
    Memory,
    Status,
)
from sterna.spec.sdram import PARTS
from sterna_rtl.control.registers import REQUEST, Registers
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from tests.control.chips import chip
from tests.control.wrap import join

STREAMS = {
    "GENERATED": "i_generated",
    "LOGIT": "i_logit",
    "LOG_PROBABILITY": "i_log_probability",
}
COMMANDS = tuple(command.name.lower() for command in Control)
OF_SLOT = ("abort", "load_seed")
"""Commands for one slot."""
ROOMS = {"token_room": "o_token", "piece_room": "o_piece"}


def strobes_of(config):
    """All strobes of a clock, and what they are about."""
    return StructLayout(
        {
            **{name: config.slots if name in OF_SLOT else 1 for name in COMMANDS},
            "set_position": 1,
            "memory": Memory,
            "address": 24,
            "check": 1,
            "pieces": 32,
        }
    )


class Roomy(Component):
    """The registers with a queue behind each port whose room they are told of; none if `full`."""

    def __init__(self, registers: Registers) -> None:
        self.registers = registers
        self.config = registers.config
        members = registers.signature.members
        kept = {name: members[name] for name in members if name not in ROOMS}
        super().__init__({**kept, "full": In(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = registers = self.registers
        join(m, self, registers)
        # What follows overrides `join`.
        for room, name in ROOMS.items():
            outer, inner = getattr(self, name), getattr(registers, name)
            m.submodules[name] = queue = Queue(outer.payload.shape(), 2)
            m.d.comb += [
                queue.i.payload.eq(inner.payload),
                queue.i.valid.eq(inner.valid),
                inner.ready.eq(queue.i.ready),
                getattr(registers, room).eq(queue.i.ready & ~self.full),
                outer.payload.eq(queue.o.payload),
                outer.valid.eq(queue.o.valid),
                queue.o.ready.eq(outer.ready),
            ]
        return m


class Observed(Component):
    """The registers with their strobes as a stream: an item for each clock that has one.

    A read with `waits` is held back until the stream behind its register has an item, so that it
    finds one whatever the stalls. `refusals` are counted; `early` tells of one that came early.
    """

    def __init__(self, registers: Roomy) -> None:
        self.registers = registers
        hidden = {
            "i", "set_position", "memory", "memory_address", "check", "check_pieces", "refused",
            *COMMANDS,
        }  # fmt: skip
        members = registers.signature.members
        super().__init__(
            {
                "request": In(stream.Signature(StructLayout({"request": REQUEST, "waits": 1}))),
                "strobes": Out(stream.Signature(strobes_of(registers.config))),
                **{name: members[name] for name in members if name not in hidden},
                "refusals": Out(8),
                "early": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.registers = registers = self.registers
        m.submodules.queue = queue = Queue(self.strobes.payload.shape(), 128)
        join(m, self, registers)
        connect_stream(m, queue.o, self.strobes)

        request = self.request.payload
        held, offered = Signal(), Signal()
        m.d.sync += offered.eq(registers.i.valid & ~registers.i.ready)
        for name, port in STREAMS.items():
            if not hasattr(self, port):
                continue
            with m.If(request.waits & (request.request.address == REGISTERS[name].address)):
                m.d.comb += held.eq(~getattr(self, port).valid & ~offered)
        m.d.comb += [
            registers.i.payload.eq(request.request),
            registers.i.valid.eq(self.request.valid & ~held),
            self.request.ready.eq(registers.i.ready & ~held),
        ]

        since = Signal(16)  # the request has waited
        m.d.sync += since.eq(Mux(registers.i.valid & ~registers.i.ready, since + 1, 0))
        with m.If(registers.refused):
            m.d.sync += self.refusals.eq(self.refusals + 1)
            m.d.sync += self.early.eq(self.early | (since < WAIT_CLOCKS))

        item = queue.i.payload
        m.d.comb += [getattr(item, name).eq(getattr(registers, name)) for name in COMMANDS]
        m.d.comb += item.set_position.eq(registers.set_position)
        with m.If(registers.set_position):
            m.d.comb += [
                item.memory.eq(registers.memory),
                item.address.eq(registers.memory_address),
            ]
        with m.If(registers.check):
            m.d.comb += [item.check.eq(1), item.pieces.eq(registers.check_pieces)]
        m.d.comb += queue.i.valid.eq(item.as_value().any())
        return m


def broken(old, new):
    return lambda config: Observed(Roomy(edited(Registers, old, new)(config)))


class Host:
    """Makes requests and knows what follows from each.

    Parameters
    ----------
    config : ChipConfig
    rng : numpy.random.Generator
    """

    def __init__(self, config, rng):
        self.config, self.rng = config, rng
        bits = config.token_bits
        self.masks = {
            "TAPE_LENGTH": (1 << 24) - 1,
            "SLOT": (1 << config.slot_bits) - 1,
            "TEMPERATURE": 0xFFFF,
            "SEED_LOW": 0xFFFFFFFF,
            "SEED_HIGH": 0xFFFFFFFF,
            "COUNT": 0xFFFF,
            "LOGITS": 1,
            "MEMORY": 7,
            "UART_DIVISOR": 0xFFFF,
            **{f"STOP_{number}": VALID | (1 << bits) - 1 for number in range(STOPS)},
            # Left out of a chip they read as 0.
            "TOP_K": 31 if config.top_k else 0,
            "RANK": 15 if config.top_k else 0,
            "TAPE_BLOCKS": PARTS[config.memory].blocks - 1 if config.memory else 0,
            "LOG_SCALE": (1 << LOG_SCALE_BITS) - 1 if config.log_probability else 0,
            "TARGET": VALID | (1 << bits) - 1 if config.log_probability else 0,
        }
        digest = int(config.digest, 16)
        self.values = {
            **dict.fromkeys(self.masks, 0),
            "MAGIC": MAGIC,
            "VERSION": INTERFACE_VERSION,
            "DIGEST_LOW": digest & 0xFFFFFFFF,
            "DIGEST_HIGH": digest >> 32,
            "CLOCK_HZ": 48_000_000,
            "UART_DIVISOR": 417,
            **{name: int(getattr(config, field)) for name, field in CONFIG_REGISTERS.items()},
            "CONFIG_MEMORY": MEMORIES.index(config.memory),
            "CONFIG_COMPACT": 0,
            # Registers that are only written.
            "CONTROL": 0,
            "TOKEN": 0,
            "CHECK": 0,
            # Left out.
            "LOG_PROBABILITY": 0,
            "BEST_TOKEN": 0,
            "BEST_LOGIT": 0,
        }
        self.of_slot = {name: [0] * config.slots for name in ("TEMPERATURE", "COUNT")}
        self.begin()

    @property
    def slot(self):
        """Slot that SLOT selects; with one slot it is always that one."""
        return self.values["SLOT"] if self.config.slots > 1 else 0

    def begin(self):
        """Begin a case: other inputs, empty streams."""
        number = lambda bits: int(self.rng.integers(1 << bits))
        self.constants = {
            "busy": number(1),
            "faults": number(2),
            "fault_segment": number(16),
            "position": number(24),
            "checking": number(1),
            "checksum": number(32),
            **{f"counters__{counter}": number(32) for counter in Counter},
        }
        faults = self.constants["faults"]
        self.values |= {
            "STATUS": self.constants["busy"] << Status.BUSY
            | (faults & 1) << Status.HEADER_FAULT
            | (faults >> 1) << Status.CHECKSUM_FAULT
            | self.constants["checking"] << Status.CHECKING
            | self.constants["fault_segment"] << 16,
            "ADDRESS": self.constants["position"],
            "CHECKSUM": self.constants["checksum"],
            **{f"COUNTER_{c.name}": self.constants[f"counters__{c.value}"] for c in Counter},
        }
        if self.config.top_k:
            token, exists = number(self.config.token_bits), number(1)
            logit = number(PRE_BITS) - (1 << PRE_BITS - 1)
            self.constants["ranked"] = {"token": token, "logit": logit, "exists": exists}
            self.values["BEST_TOKEN"] = VALID * exists | token
            self.values["BEST_LOGIT"] = logit % (1 << 32)
        self.requests = []
        inputs = ["i_generated", "i_logit", "i_piece"]
        if self.config.log_probability:
            inputs.append("i_log_probability")
        outputs = ("o", "o_token", "o_piece", "strobes")
        self.inputs = {port: [] for port in inputs}
        self.outputs = {port: [] for port in outputs}

    def _request(self, write, address, data, waits):
        request = {"write": write, "address": address, "data": data}
        self.requests.append({"request": request, "waits": waits})

    def read(self, name, empty=False):
        """Read a register; a stream behind it holds an item unless it is said to be empty."""
        data = int(self.rng.integers(1 << 32))
        self._request(0, REGISTERS[name].address, data, not empty)
        if STREAMS.get(name) in self.inputs:
            value = 0 if empty else self._next(name)
        elif name == "DATA":
            value = int(self.rng.integers(1 << 32))
            self.outputs["o_piece"].append({"read": 1, "data": data})
            self.inputs["i_piece"].append(value)
        elif name in self.of_slot:
            value = self.of_slot[name][self.slot]
        else:
            value = self.values[name]
        self.outputs["o"].append(value)

    def _next(self, name):
        """What a register shows of a new item of its stream."""
        if name == "GENERATED":
            token = int(self.rng.integers(1 << self.config.token_bits))
            slot = int(self.rng.integers(self.config.slots))
            last = int(self.rng.integers(2))
            self.inputs["i_generated"].append({"token": token, "slot": slot, "last": last})
            return VALID | LAST * last | slot << SLOT_SHIFT | token
        if name == "LOG_PROBABILITY":
            half = 1 << LOG_PROBABILITY_BITS - 1
            value = int(self.rng.integers(-half, half))
            self.inputs["i_log_probability"].append(value)
            return VALID | value % (2 * half)
        logit = int(self.rng.integers(-(1 << PRE_BITS - 1), 1 << PRE_BITS - 1))
        self.inputs["i_logit"].append(logit)
        return VALID | logit & (1 << PRE_BITS) - 1

    def write(self, name, data):
        """Write a register; SLOT always names a slot that there is."""
        if name == "SLOT" and self.config.slots > 1:
            data = data & ~7 | data % self.config.slots
        self._request(1, REGISTERS[name].address, data, 0)
        none = dict.fromkeys(strobes_of(self.config).members, 0)
        strobes = {**none, "set_position": 1}
        if name == "CONTROL":
            strobes |= {command.name.lower(): data >> command & 1 for command in Control}
            strobes |= {name: strobes[name] << self.slot for name in OF_SLOT}
            strobes["set_position"] = 0
            if data % (1 << len(Control)):
                self.outputs["strobes"].append(strobes)
        elif name == "MEMORY":
            self.outputs["strobes"].append({**strobes, "memory": data & 7, "address": 0})
        elif name == "ADDRESS":
            memory = self.values["MEMORY"]
            address = data % (1 << 24)
            self.outputs["strobes"].append({**strobes, "memory": memory, "address": address})
        elif name == "CHECK":
            self.outputs["strobes"].append(
                {**strobes, "set_position": 0, "check": 1, "pieces": data}
            )
        elif name == "TOKEN":
            token = data % (1 << self.config.token_bits)
            slots = (1 << self.config.slot_bits) - 1
            item = {
                "token": token,
                "slot": data >> SLOT_SHIFT & slots,
                "source": data >> SOURCE_SHIFT & slots,
                "more": int(bool(data & MORE)),
                "draw": int(bool(data & VALID)),
            }
            if self.config.log_probability:
                target = self.values["TARGET"]
                item["target"] = {"token": target % VALID, "valid": target // VALID}
            self.outputs["o_token"].append(item)
        elif name == "DATA":
            self.outputs["o_piece"].append({"read": 0, "data": data})
        if name in self.of_slot:
            self.of_slot[name][self.slot] = data & self.masks[name]
        elif name in self.masks:
            self.values[name] = data & self.masks[name]

    def stray(self):
        """Read or write an address that is no register."""
        address = int(self.rng.integers(len(REGISTERS), 1 << 8))
        write = int(self.rng.integers(2))
        self._request(write, address, int(self.rng.integers(1 << 32)), 0)
        if not write:
            self.outputs["o"].append(0)

    def case(self, name, clocks=None):
        """What the requests since `begin` must lead to."""
        values = self.values
        stops = [values[f"STOP_{number}"] for number in range(STOPS)]
        token = (1 << self.config.token_bits) - 1
        extras = {"log_scale": values["LOG_SCALE"]} if self.config.log_probability else {}
        if self.config.memory:
            extras["tape_blocks"] = values["TAPE_BLOCKS"]
        if self.config.top_k:
            extras |= {"top_k": values["TOP_K"], "rank": values["RANK"]}
        return Case(
            {"request": self.requests, **self.inputs},
            self.outputs,
            self.constants,
            finals={
                "tape_length": values["TAPE_LENGTH"],
                "temperature": self.of_slot["TEMPERATURE"],
                "seed": values["SEED_HIGH"] << 32 | values["SEED_LOW"],
                "count": self.of_slot["COUNT"],
                "keep_logits": values["LOGITS"],
                **extras,
                "divisor": values["UART_DIVISOR"],
                "stop": [{"token": stop & token, "valid": stop >> 31} for stop in stops],
            },
            clocks=clocks,
            name=name,
        )


class RegistersBench(UnitBench):
    """All registers of `REGISTERS`, whatever they are: read, written, read again."""

    name = "registers"
    configs = {
        "vocab-61": chip(vocab=61, top_k=5, log_probability=True),
        "vocab-2": chip(vocab=2),
        "2-slots": chip(slots=2),
        "ring-3-slots": chip(vocab=1 << 24, slots=3, ring=True),
        "memory": chip(memory="W9825G6JH-6"),
    }
    cocotb_configs = ("vocab-61", "ring-3-slots")
    slow_configs = tuple(configs)  # cocotb plays two of them
    bugs = {
        "one register for two settings": broken(
            '"COUNT": of_slot(self.count, slot)', '"COUNT": of_slot(self.temperature, slot)'
        ),
        "halves of the seed swapped": broken(
            '"SEED_LOW": self.seed[:32]', '"SEED_LOW": self.seed[32:]'
        ),
        "commands on reads": broken(
            "with m.If(write):\n                    m.d.sync += commands",
            "with m.If(1):\n                    m.d.sync += commands",
        ),
        "logit without its sign": broken("self.ranked.logit)", "self.ranked.token)"),
        "target not used": broken("payload.target.eq(target)", "payload.target.eq(0)"),
        "write lost when there is no room": broken("done.eq(room | ~patient)", "done.eq(1)"),
        "piece asked for twice": broken("read & ~asked)", "read)"),
        "piece not waited for": broken("done.eq(transfers(self.i_piece))", "done.eq(asked)"),
        "answer of the request before": broken("held & settled[-1] & ~", "held & ~"),
        "answer not held": broken("with m.If(transfers(self.o)):", "with m.If(self.o.valid):"),
        "next answer too early": broken("& ~request.write & ~self.o.valid", "& ~request.write"),
        "the last token is not marked": broken("token.last << 30 |", ""),
        "logit without its mark": broken("C(0, 15), C(1, 1)", "C(0, 16)"),
        "reads take tokens of other registers": broken(
            "m.d.comb += self.i_generated.ready.eq(read)", "pass"
        ),
        "stop tokens always in use": broken("stop.valid.eq(request.data[31])", "stop.valid.eq(1)"),
        "a new RAM from word 1 on": broken(
            "self.memory_address.eq(0)", "self.memory_address.eq(1)"
        ),
        "RAM forgotten": broken("self.memory.eq(request.data), ", ""),
        "counters in another order": broken(
            "self.counters[counter]", "self.counters[-1 - counter]"
        ),
        "count of another slot": broken(
            "of_slot(self.count, slot)", "of_slot(self.count, slot ^ 1)"
        ),
        "one temperature for all slots": broken(
            "of_slot(self.temperature, slot)", "self.temperature[0]"
        ),
        "aborts all slots": broken(
            "(of_slot(strobe, slot) if of_one else strobe).eq(commands[command])",
            "strobe.eq(commands[command].replicate(len(strobe)))",
        ),
        "commands to slot 0": broken("of_slot(strobe, slot)", "strobe[0]"),
        "seed always of slot 0": broken(
            "command in (Control.ABORT, Control.LOAD_SEED)", "command == Control.ABORT"
        ),
        "the source is the slot": broken(
            "source.eq(request.data[SOURCE_SHIFT:])", "source.eq(request.data[SLOT_SHIFT:])"
        ),
        "every pass has one token": broken("more.eq(request.data[30])", "more.eq(0)"),
        "generated by nobody": broken("token.slot << SLOT_SHIFT |", ""),
    }
    bug_configs = ("ring-3-slots", "vocab-61")
    not_stalled = {
        "request": "ready is up for what it can do, not without a request",
        "i_piece": "it is asked for so late that it mostly waits; see the bug about it",
    }

    def dut(self, config):
        return Observed(Roomy(Registers(config)))

    def cases(self, config, rng):
        host = Host(config, rng)
        names = list(REGISTERS)
        for name in names:
            host.read(name)
        for mark in (VALID, 0):
            for name in names:
                host.write(name, int(rng.integers(1 << 31)) | mark)
            for name in names:
                host.read(name)
        yield host.case("every register")

        host.begin()
        for _ in range(100):
            name = names[rng.integers(len(names))]
            if rng.random() < 0.1:
                host.stray()
            elif rng.random() < 0.5:
                host.write(name, int(rng.integers(1 << 32)))
            else:
                host.read(name)
        yield host.case("here and there")

        host.begin()
        for _ in range(2):
            for slot in rng.permutation(config.slots):
                host.write("SLOT", int(slot))
                host.write("CONTROL", int(rng.integers(1, 16)))
                for name in host.of_slot:
                    host.write(name, int(rng.integers(1 << 32)))
            for slot in rng.permutation(config.slots):
                host.write("SLOT", int(slot))
                for name in ("SLOT", *host.of_slot):
                    host.read(name)
        yield host.case("slot after slot")

        host.begin()
        for _ in range(17):
            for name in (*STREAMS, "DATA"):
                host.read(name)
        yield host.case("full streams")

        host.begin()
        for _ in range(8):
            for name in STREAMS:
                host.read(name, empty=True)
                host.read("TEMPERATURE")
        yield host.case("empty streams", clocks=6 * len(host.requests) + 1)

        host.begin()
        for value in range(16):
            host.write("TOKEN", value)
            host.write("COUNT", value)
            host.write("DATA", value)
        yield host.case("one write after the other", clocks=3 * len(host.requests) + 1)


class NoRoomBench(RegistersBench):
    """Writes that never find room."""

    name = "registers-no-room"
    configs = {"ring-3-slots": RegistersBench.configs["ring-3-slots"]}
    slow_configs = bug_configs = tuple(configs)
    cocotb_configs = ()
    stalls = (Stalls(),)
    patience = WAIT_CLOCKS + 99
    reset_test = False

    def cases(self, config, rng):
        host = Host(config, rng)
        names = ("TOKEN", "DATA", "MEMORY", "ADDRESS", "CHECK", "TOKEN")
        for number, name in enumerate(names):
            request = {
                "write": 1,
                "address": REGISTERS[name].address,
                "data": int(rng.integers(1 << 32)),
            }
            yield Case(
                {"request": [{"request": request, "waits": 0}]},
                {},
                {**host.constants, "full": 1},
                {"refusals": number + 1, "early": 0},
                clocks=WAIT_CLOCKS + 3,
                name=name,
            )
        # They were as if they had not been, and the next ones find room.
        for name in REGISTERS:
            host.read(name, empty=True)
            host.write(name, int(rng.integers(1 << 32)))
        yield host.case("as before")


test_pysim, test_cocotb, test_planted_bugs = bench_tests(RegistersBench())
test_full, _, _ = bench_tests(NoRoomBench())


def test_all_registers_differ():
    """No two registers have one address, and all of them can be addressed."""
    addresses = [register.address for register in REGISTERS.values()]
    assert len(set(addresses)) == len(addresses)
    assert max(addresses) < 1 << REQUEST["address"].width


def test_no_room():
    """A write that finds no room is held for `WAIT_CLOCKS` and then refused, the next one too."""
    registers = Registers(chip())

    async def bench(ctx):
        for name in ("TOKEN", "DATA", "MEMORY", "ADDRESS", "CHECK", "TOKEN"):
            request = {"write": 1, "address": REGISTERS[name].address, "data": 5}
            ctx.set(registers.i.payload, request)
            ctx.set(registers.i.valid, 1)
            waited = 0
            while not ctx.get(registers.i.ready):
                assert not ctx.get(registers.o_token.valid | registers.o_piece.valid)
                assert not ctx.get(registers.set_position | registers.check | registers.refused)
                await ctx.tick()
                waited += 1
            assert waited == WAIT_CLOCKS + 1
            assert ctx.get(registers.refused & ~registers.set_position & ~registers.check)
            await ctx.tick()
        ctx.set(registers.token_room, 1)
        await ctx.tick()
        assert ctx.get(registers.o_token.valid & ~registers.i.ready)
        await ctx.tick()
        assert ctx.get(registers.i.ready & ~registers.o_token.valid & ~registers.refused)

    simulator = Simulator(registers)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_answer_after_its_request():
    """Who gives a request may take the answer from the clock after it was taken on, not before."""

    def early(unit):
        registers, found = unit(chip()), []

        async def bench(ctx):
            ctx.set(registers.o.ready, 1)
            request = {"write": 0, "address": REGISTERS["MAGIC"].address, "data": 0}
            ctx.set(registers.i.payload, request)
            ctx.set(registers.i.valid, 1)
            while not ctx.get(registers.i.ready):
                found.append(ctx.get(registers.o.valid))
                await ctx.tick()
            found.append(ctx.get(registers.o.valid))
            await ctx.tick()
            found.append(not ctx.get(registers.o.valid))
            assert ctx.get(registers.o.payload) == MAGIC

        simulator = Simulator(registers)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        return any(found)

    assert not early(Registers)
    assert early(edited(Registers, "taken & ~request.write", "read & done"))


def test_contract():
    """An answer only to a request, held until it is taken; requests on their way are held too."""
    free = ("busy", "faults", "fault_segment", "position", "checking", "checksum")
    contract = StreamContract(
        items_in=1,
        combinational=True,
        free=(*free, *(f"counters__{c.value}" for c in Counter)),
        depth=14,
    )
    held = "with m.If(transfers(self.o)):", "with m.If(self.o.valid):"
    config = chip(vocab=2)
    bugs = {"answer not held": lambda: Roomy(edited(Registers, *held)(config))}
    check_contract(lambda: Roomy(Registers(config)), contract, bugs)
