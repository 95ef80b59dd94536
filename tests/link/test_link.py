"""SerialLink: frames on its pins, register requests on its other side."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import WINDOW, Code, Frame, Kind, Outcome, encode
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.link.link import SerialLink
from sterna_rtl.link.uart import RECEIVED, UartReceiver, UartTransmitter
from sterna_sim.kit import Case, UnitBench, bench_tests, edited
from sterna_sim.kit.stalls import ALL_STALLS

DIVISOR = 4


class Wired(Component):
    """The link between two UARTs; `pause` bytes of silence come before a byte."""

    def __init__(self, link) -> None:
        self.link = link
        item = StructLayout({"data": 8, "pause": 8})
        super().__init__(
            {
                "i": In(stream.Signature(item)),
                "o": Out(stream.Signature(RECEIVED)),
                "o_request": Out(stream.Signature(REQUEST)),
                "i_answer": In(stream.Signature(32)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        m.submodules.transmitter = transmitter = UartTransmitter()
        m.submodules.receiver = receiver = UartReceiver()
        m.submodules.queue = queue = Queue(RECEIVED, 128)
        silence = Signal(16)
        waited = silence == Cat(C(0, 6), self.i.payload.pause)
        m.d.sync += silence.eq(Mux(self.i.valid & ~waited, silence + 1, 0))
        m.d.comb += [
            transmitter.i.payload.eq(self.i.payload.data),
            transmitter.i.valid.eq(self.i.valid & waited),
            self.i.ready.eq(transmitter.i.ready & waited),
            transmitter.divisor.eq(DIVISOR),
            receiver.divisor.eq(DIVISOR),
            link.divisor.eq(DIVISOR),
            link.rx.eq(transmitter.tx),
            receiver.rx.eq(link.tx),
        ]
        with m.If(transmitter.i.valid & ~transmitter.i.ready):
            m.d.sync += silence.eq(silence)
        connect_stream(m, receiver.o, queue.i)
        connect_stream(m, queue.o, self.o)
        connect_stream(m, link.o, self.o_request)
        with m.If(~link.o.payload.write):
            m.d.comb += self.o_request.payload.data.eq(0)
        owed = Signal()
        m.d.comb += [
            link.i.payload.eq(self.i_answer.payload),
            link.i.valid.eq(self.i_answer.valid & owed),
            self.i_answer.ready.eq(link.i.ready & owed),
        ]
        with m.If(transfers(link.i)):
            m.d.sync += owed.eq(0)
        with m.If(transfers(link.o) & ~link.o.payload.write):
            m.d.sync += owed.eq(1)
        return m


def broken(old, new):
    return lambda config: Wired(edited(SerialLink, old, new)(DIVISOR))


def read(address, count):
    return bytes([Code.READ_NEXT, address, count, 0])


def write(address, *words):
    return bytes([Code.WRITE, address, len(words), 0]) + b"".join(
        word.to_bytes(4, "little") for word in words
    )


class LinkBench(UnitBench):
    """A session with what can go wrong, each reply awaited before the next frame."""

    name = "link"
    configs = {"only": None}
    slow_configs = ("only",)  # played by cocotb in a third of the time
    bugs = {
        "replies in one place": broken("Cat(C(0, 8), executor.slot)", "0"),
        "no reply again": broken("sender.resend.eq(window.resend)", "sender.resend.eq(0)"),
        "next request at once": broken("window.done.eq(executor.done)", "window.done.eq(0)"),
        "frames in one place": broken("frames.slot.eq(window.slot)", "frames.slot.eq(0)"),
        "damage not reported": broken("window.bad.eq(frames.bad)", "window.bad.eq(0)"),
        "held for ever": broken("executor.forget.eq(window.synced)", "executor.forget.eq(0)"),
    }
    not_stalled = {
        "i": "bytes wait for those before and for their pauses",
        "o": "a queue takes what comes",
        "i_answer": "it waits to be asked",
    }
    patience = 20000
    stalls = ALL_STALLS[::3]  # a session takes thousands of clocks

    def dut(self, config):
        return Wired(SerialLink(DIVISOR))

    def cases(self, config, rng):
        given, wanted, requests, answers = [], [], [], []

        def send(data, pause=40):
            items = [{"data": byte, "pause": 0} for byte in data]
            given.extend([{**items[0], "pause": pause}, *items[1:]])

        def hear(kind, session, sequence, words=(), outcome=Outcome.DONE, done=0):
            data = b"".join(word.to_bytes(4, "little") for word in words)
            payload = data + bytes([outcome, done, WINDOW])
            frame = encode(Frame(kind, session, sequence, payload))
            wanted.extend({"data": byte, "error": 0} for byte in frame)

        def ask(address, count):
            words = [int(word) for word in rng.integers(0, 1 << 32, count)]
            answers.extend(words)
            requests.extend({"write": 0, "address": address + n, "data": 0} for n in range(count))
            return words

        def tell(address, *words):
            requests.extend({"write": 1, "address": address, "data": word} for word in words)

        execute = lambda number, payload: encode(Frame(Kind.EXECUTE, 2, number, payload))
        send(execute(5, read(0, 1)))
        hear(Kind.LOST, 0, 0)
        send(encode(Frame(Kind.SYNC, 2, 254)))
        hear(Kind.SYNCED, 2, 254)
        first = ask(0, 3)
        send(execute(254, read(0, 3)))
        hear(Kind.DONE, 2, 254, first, done=1)
        send(execute(255, write(9, 1, 2)))
        tell(9, 1, 2)
        hear(Kind.DONE, 2, 255, done=3)
        send(execute(254, read(0, 3)))  # again: the answer is the first one
        hear(Kind.DONE, 2, 254, first, done=1)
        send(execute(1, read(0, 1)))  # 0 was lost
        hear(Kind.AGAIN, 2, 0)
        send(execute(1, read(0, 1)))
        damaged = bytearray(execute(0, read(0, 1)))
        damaged[4] ^= 8
        send(bytes(damaged))
        # Two at once.
        words = ask(4, 1)
        send(execute(0, read(4, 1)) + execute(1, write(8, 7)))
        tell(8, 7)
        hear(Kind.DONE, 2, 0, words, done=1)
        hear(Kind.DONE, 2, 1, done=2)
        send(b"\x07\x01\x02\0")  # noise
        hear(Kind.AGAIN, 2, 2)
        send(execute(2, b"\xff\0\0\0"))
        hear(Kind.DONE, 2, 2, outcome=Outcome.MALFORMED, done=1)
        send(execute(3, write(8, 7)))
        hear(Kind.DONE, 2, 3, outcome=Outcome.HELD)
        send(encode(Frame(Kind.SYNC, 7, 9)))
        hear(Kind.SYNCED, 7, 9)
        send(encode(Frame(Kind.EXECUTE, 7, 9, write(1, 2))))
        tell(1, 2)
        hear(Kind.DONE, 7, 9, done=2)
        yield Case(
            {"i": given, "i_answer": answers}, {"o": wanted, "o_request": requests}, name="session"
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LinkBench())
