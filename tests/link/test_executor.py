"""Executor: requests of all shapes, what they do to registers, and the replies."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import REPLY_WORDS, REQUEST_BYTES, WINDOW, Code, Kind, Outcome
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.memory import ReadPort
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.link.executor import BYTE, Executor
from sterna_rtl.link.frames import REQUEST_RAM_BYTES
from sterna_rtl.link.window import NOTICE, REQUEST_FRAME
from sterna_sim.kit import Case, Memory, Stalls, UnitBench, bench_tests, edited

FULL = 0xEE  # a register that never has room


class Answered(Component):
    """The executor, with a RAM writer that is done a few clocks after a frame's last byte."""

    def __init__(self, executor) -> None:
        self.executor = executor
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST_FRAME)),
                "i_notice": In(stream.Signature(NOTICE)),
                "read": Out(ReadPort(REQUEST_RAM_BYTES, unsigned(8))),
                "o": Out(stream.Signature(BYTE)),
                "o_request": Out(stream.Signature(REQUEST)),
                "i_answer": In(stream.Signature(32)),
                "places": Out(stream.Signature(4)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.executor = executor = self.executor
        connect_stream(m, self.i_notice, executor.i_notice)
        connect_stream(m, self.i, executor.i)
        connect_stream(m, executor.o, self.o)
        connect_stream(m, executor.o_request, self.o_request)
        with m.If(~executor.o_request.payload.write):
            m.d.comb += self.o_request.payload.data.eq(0)  # what a read writes is anything
        owed = Signal()
        m.d.comb += [
            executor.i_answer.payload.eq(self.i_answer.payload),
            executor.i_answer.valid.eq(self.i_answer.valid & owed),
            self.i_answer.ready.eq(executor.i_answer.ready & owed),
            self.read.address.eq(executor.read.address),
            executor.read.data.eq(self.read.data),
            executor.refused.eq(executor.o_request.payload.address == FULL),
            self.places.payload.eq(Mux(executor.notice, 8, executor.slot)),
        ]
        with m.If(transfers(executor.i_answer)):
            m.d.sync += owed.eq(0)
        with m.If(transfers(executor.o_request) & ~executor.o_request.payload.write):
            m.d.sync += owed.eq(1)
        with m.If(transfers(executor.o) & executor.o.payload.last):
            m.d.sync += self.places.valid.eq(1)
        with m.If(transfers(self.places)):
            m.d.sync += self.places.valid.eq(0)
            m.d.comb += executor.written.eq(1)
        return m


def broken(old, new):
    return lambda config: Answered(edited(Executor, old, new)())


class Host:
    """Writes requests and knows what follows."""

    def __init__(self, rng, first):
        self.rng = rng
        self.number, self.held = first, False
        self.ram = list(rng.bytes(REQUEST_RAM_BYTES))
        self.frames, self.notices = [], []
        self.requests, self.answers, self.bytes, self.places = [], [], [], []

    def _reply(self, kind, session, number, words, outcome, done, place):
        data = b"".join(word.to_bytes(4, "little") for word in words)
        frame = bytes([kind | session << 4, number]) + data + bytes([outcome, done, WINDOW])
        self.bytes += [{"data": b, "last": n == len(frame) - 1} for n, b in enumerate(frame)]
        self.places.append(place)

    def notice(self, kind, session, number):
        self.notices.append({"kind": kind, "session": session, "sequence": number})
        self._reply(kind, session, number, [], Outcome.DONE, 0, 8)

    def request(self, *operations, resume=False, cut=None, head=None):
        """Operations as (code, address, count or words); `cut` bytes are missing at the end."""
        payload = head or b""
        for code, address, what in operations:
            words = what if isinstance(what, list) else []
            count = len(words) if words else what
            payload += bytes([code, address, count, 0])
            payload += b"".join(word.to_bytes(4, "little") for word in words)
        payload = payload[: len(payload) - (cut or 0)]
        assert len(payload) <= REQUEST_BYTES
        place = self.number % WINDOW
        self.ram[place * 256 : place * 256 + len(payload)] = payload
        session = int(self.rng.integers(16))
        self.frames.append(
            {
                "session": session,
                "sequence": self.number,
                "length": len(payload),
                "resume": resume,
            }
        )
        self.held = self.held and not resume
        words, outcome, done = [], Outcome.HELD, 0
        if not self.held:
            words, outcome, done = self._execute(payload)
        self.held = outcome != Outcome.DONE
        self._reply(Kind.DONE, session, self.number, words, outcome, done, place)
        self.number = (self.number + 1) % 256

    def _execute(self, payload):
        words, position = [], 0
        while position < len(payload):
            if len(payload) - position < 4:
                return words, Outcome.MALFORMED, position // 4
            code, address, count, zero = payload[position : position + 4]
            position += 4
            reads = code & 1
            if code > 3 or zero or (reads and count > REPLY_WORDS - len(words)):
                return words, Outcome.MALFORMED, position // 4
            for _ in range(count):
                request = {"write": 1 - reads, "address": address}
                if reads:
                    words.append(int(self.rng.integers(1 << 32)))
                    self.answers.append(words[-1])
                    self.requests.append({**request, "data": 0})
                else:
                    if len(payload) - position < 4:
                        return words, Outcome.MALFORMED, position // 4
                    data = int.from_bytes(payload[position : position + 4], "little")
                    self.requests.append({**request, "data": data})
                    if address == FULL:
                        return words, Outcome.NO_ROOM, position // 4
                    position += 4
                address = (address + (code >> 1)) % 256
        return words, Outcome.DONE, position // 4

    def case(self, name):
        memory = Memory(self.ram, reads=[("read__address", "read__data")], name="requests")
        return Case(
            {"i": self.frames, "i_notice": self.notices, "i_answer": self.answers},
            {"o": self.bytes, "o_request": self.requests, "places": self.places},
            memories=[memory],
            name=name,
        )


class ExecutorBench(UnitBench):
    """Reads, writes, both, nothing, too much, too little, and no room."""

    name = "executor"
    configs = {"only": None}
    bugs = {
        "addresses never step": broken("address + steps", "address"),
        "addresses always step": broken("address + steps", "address + 1"),
        "one word too many": broken("left.eq(left - 1), address", "address"),
        "refusal not seen": broken("with m.Elif(refused):", "with m.Elif(0):"),
        "goes on after a refusal": broken("held.eq(result != Outcome.DONE)", "held.eq(0)"),
        "never goes on": broken("held.eq(held & ~self.i.payload.resume)", "held.eq(held)"),
        "replies too long": broken("(count > read_room)", "(count > 255)"),
        "cut operation executed": broken("length - position < _WORD", "0"),
        "missing words not seen": broken(
            "end(Outcome.DONE)\n                    with m.If(left != 0)",
            "end(Outcome.DONE)\n                    with m.If(0)",
        ),
        "bad head taken": broken("word[2:8].any() | word[24:].any()", "word[24:].any()"),
        "bytes shifted": broken("with m.If(byte == _WORD + 1):", "with m.If(byte == _WORD):"),
        "words not counted": broken("words_done.eq(words_done + 1)\n", "words_done.eq(0)\n"),
        "place of the next": broken("slot.eq(head.sequence)", "slot.eq(head.sequence + 1)"),
    }  # fmt: skip
    not_stalled = {
        "i": "a request is taken when the one before is done",
        "i_notice": "a notice is taken when the frame before is done",
        "i_answer": "it waits to be asked",
    }

    def dut(self, config):
        return Answered(Executor())

    def cases(self, config, rng):
        data = lambda count: [int(word) for word in rng.integers(0, 1 << 32, count)]
        host = Host(rng, 3)
        host.notice(Kind.SYNCED, 3, 3)
        yield host.case("notice")

        host = Host(rng, 3)
        host.request((Code.READ_NEXT, 0, 4))
        host.request((Code.WRITE, 7, data(1)))
        host.request((Code.WRITE_NEXT, 9, data(3)), (Code.READ, 20, 2), (Code.WRITE, 1, data(2)))
        host.request()
        host.request((Code.WRITE, 21, data(63)))
        yield host.case("good")

        host = Host(rng, 250)
        host.request((Code.WRITE, FULL, data(2)), (Code.READ, 3, 1))
        host.request((Code.READ, 3, 1))
        host.request((Code.READ, 3, 1), resume=True)
        host.request((Code.WRITE, 5, data(3)), cut=4)
        host.request((Code.WRITE, 5, data(3)), cut=2, resume=True)
        host.request((Code.READ, 5, 2), cut=1, resume=True)
        host.request(head=b"\x04\x01\x01\x00tern", resume=True)
        yield host.case("bad")

        host = Host(rng, 0)
        host.request((Code.READ, 3, 56), resume=True)
        host.request((Code.READ, 3, 57))
        yield host.case("long replies")


class DrawnBench(ExecutorBench):
    """Drawn frames: any operations, heads that are none, missing bytes, resumed or not."""

    name = "executor-drawn"
    reset_between = True
    stalls = (Stalls(), Stalls("random", "random"))
    cocotb_configs = ()

    def cases(self, config, rng):
        for _ in range(16):
            host = Host(rng, int(rng.integers(256)))
            for _ in range(WINDOW):
                self.draw(host, rng)
            yield host.case("drawn")
        for _ in range(6):
            host = Host(rng, int(rng.integers(256)))
            for _ in range(WINDOW):
                # Reads of as many words as a reply takes, or one less or more.
                first = int(rng.integers(1, REPLY_WORDS))
                rest = REPLY_WORDS - first + int(rng.integers(-1, 2))
                counts = [(Code.READ, 5, first), (Code.READ_NEXT, 9, rest)]
                host.request(*counts, resume=True)
            yield host.case("full replies")

    def draw(self, host, rng):
        """Add a request that fits into a frame; most are right, so that what follows counts."""
        operations, left = [], REQUEST_BYTES - 4
        for _ in range(int(rng.integers(5))):
            code = Code(int(rng.integers(4)))
            count = int(rng.integers(1 << int(rng.integers(7))))
            address = int(rng.choice([FULL, *rng.integers(256, size=20)]))
            what = count
            if not code & 1:
                count = min(count, left // 4 - 1)
                left -= 4 * count
                what = rng.integers(1 << 32, size=count).tolist() or 0
            operations.append((code, address, what))
            left -= 4
            if left < 8:
                break
        head = None
        if rng.random() < 0.2:
            head = bytes([1 << int(rng.integers(2, 8)), 0, 0, 0])
        elif rng.random() < 0.2:
            head = bytes([0, 0, 0, 1 << int(rng.integers(8))])
        cut = int(rng.integers(1, 9)) if operations and rng.random() < 0.3 else None
        host.request(*operations, resume=bool(rng.random() < 0.8), cut=cut, head=head)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ExecutorBench())
test_drawn, _, _ = bench_tests(DrawnBench())
