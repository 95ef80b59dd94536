"""Sender: frames from the RAM, in the order in which they are asked for one by one."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import WINDOW
from sterna_rtl.lib.memory import ReadPort
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.sender import NOTICE_ADDRESS, REPLY_BYTES, REPLY_RAM_BYTES, Sender
from sterna_sim.kit import Case, Memory, Stalls, UnitBench, bench_tests, edited

COMMAND = StructLayout(
    {
        "stored": 1,
        "notice": 1,
        "slot": range(WINDOW),
        "length": range(REPLY_BYTES + 1),
        "resend": 1,
        "forget": 1,
        "waits": 1,
    }
)


class Commanded(Component):
    """The sender with its strobes in one stream; with `waits` they come once it is idle."""

    def __init__(self, sender) -> None:
        self.sender = sender
        super().__init__(
            {
                "i": In(stream.Signature(COMMAND)),
                "o": Out(stream.Signature(8)),
                "read": Out(ReadPort(REPLY_RAM_BYTES, unsigned(8))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.sender = sender = self.sender
        command = self.i.payload
        connect_stream(m, sender.o, self.o)
        m.d.comb += [
            self.i.ready.eq(sender.idle | ~command.waits),
            self.read.address.eq(sender.read.address),
            sender.read.data.eq(self.read.data),
            sender.notice.eq(command.notice),
            sender.slot.eq(command.slot),
            sender.resend_slot.eq(command.slot),
            sender.length.eq(command.length),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.comb += [
                sender.stored.eq(command.stored),
                sender.resend.eq(command.resend),
                sender.forget.eq(command.forget),
            ]
        return m


def broken(old, new):
    return lambda config: Commanded(edited(Sender, old, new)())


class SenderBench(UnitBench):
    """Replies, notices, replies again, and what is forgotten."""

    name = "sender"
    configs = {"only": None}
    bugs = {
        "no zero before a frame": broken("self.o.payload.eq(0)", "self.o.payload.eq(1)"),
        "a byte too few": broken("with m.If(left == 0):", "with m.If(left == 1):"),
        "notice as a reply": broken("en.eq(asks.stored & ~asks.notice)", "en.eq(asks.stored)"),
        "notice at the wrong place": broken("address.eq(NOTICE_ADDRESS)", "address.eq(0)"),
        "again and again": broken("asked.bit_select(pointer, 1).eq(0),", ""),
        "never again": broken("with m.If(asks.resend):", "with m.If(0):"),
        "nothing forgotten": broken("with m.If(asks.forget):", "with m.If(0):"),
        "byte too early": broken('m.next = "TAKE"', 'm.next = "BYTE"'),
        "not held": broken('with m.If(self.o.ready):\n                    m.d.sync += self.o',
                           'with m.If(1):\n                    m.d.sync += self.o'),
    }  # fmt: skip
    not_stalled = {"i": "it waits until the sender is idle"}

    def dut(self, config):
        return Commanded(Sender())

    def cases(self, config, rng):
        ram = list(rng.bytes(REPLY_RAM_BYTES))
        commands, sent, lengths = [], [], {}

        def command(slot=0, length=0, waits=1, **strobes):
            zeros = dict.fromkeys(("stored", "notice", "resend", "forget"), 0)
            values = {**zeros, **strobes, "slot": slot, "length": length, "waits": waits}
            commands.append(values)

        def frame(first, length):
            return [0, *ram[first : first + length]]

        for slot, length in ((3, 9), (0, 240), (7, 1), (2, 30)):
            command(slot, length, stored=1)
            lengths[slot] = length
            sent += frame(256 * slot, length)
        command(2, 12, stored=1, notice=1)
        sent += frame(NOTICE_ADDRESS, 12)
        for slot in (2, 7, 7, 3):
            command(slot, 77, resend=1)
            sent += frame(256 * slot, lengths[slot])
        # Forgotten at once; then a notice goes before a reply.
        command(7, resend=1, forget=1)
        command(1, 13, stored=1, notice=1)
        command(3, resend=1, waits=0)
        sent += frame(NOTICE_ADDRESS, 13) + frame(256 * 3, lengths[3])
        command(4, 5, stored=1)
        sent += frame(256 * 4, 5)
        memory = Memory(ram, reads=[("read__address", "read__data")], name="replies")
        yield Case({"i": commands}, {"o": sent}, memories=[memory])


class DrawnBench(SenderBench):
    """Replies of any length in any slot, asked for again or not, among notices.

    Those that are asked for while a frame is under way follow from the slot of the last reply on.
    """

    name = "sender-drawn"
    stalls = (Stalls(), Stalls("random", "random"))
    cocotb_configs = ()

    def cases(self, config, rng):
        ram = list(rng.bytes(REPLY_RAM_BYTES))
        commands, sent, lengths, last = [], [], {}, 0
        for _ in range(60):
            kind = rng.choice(["stored", "notice", "resend"])
            slot, length = int(rng.integers(8)), int(rng.integers(1, 1 << int(rng.integers(1, 9))))
            zeros = dict.fromkeys(("stored", "notice", "resend", "forget"), 0)
            command = {**zeros, "slot": slot, "length": length, "waits": 1}
            first = 256 * slot
            if kind == "stored":
                lengths[slot] = length
                command["stored"] = 1
            elif kind == "notice":
                length = command["length"] = min(length, 12)
                command |= {"stored": 1, "notice": 1}
                first = NOTICE_ADDRESS
            elif slot in lengths:
                command["resend"], length = 1, lengths[slot]
            else:
                continue
            commands.append(command)
            sent += [0, *ram[first : first + length]]
            if kind != "notice":
                last = slot
            if length > 40 or (kind == "notice" and length > 10):
                # Once it is found where it stands.
                nothing, count = {**zeros, "slot": 0, "length": 0, "waits": 0}, 8
                if kind == "notice":
                    count = 3
                else:
                    commands += [nothing] * 10
                kinds = rng.permutation(list(lengths))[:count].tolist()
                commands += [{**nothing, "resend": 1, "slot": slot} for slot in kinds]
                kinds.sort(key=lambda slot, last=last: (slot - last) % 8)
                for slot in kinds:
                    sent += [0, *ram[256 * slot : 256 * slot + lengths[slot]]]
                last = kinds[-1] if kinds else last
        memory = Memory(ram, reads=[("read__address", "read__data")], name="replies")
        yield Case({"i": commands}, {"o": sent}, memories=[memory])


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SenderBench())
test_drawn, _, _ = bench_tests(DrawnBench())
