"""FrameReceiver: payloads in their places, and what is said of each frame."""

import zlib

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import REQUEST_BYTES, WINDOW
from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.frames import DECODED, FRAME, REQUEST_RAM_BYTES, FrameReceiver
from sterna_sim.kit import Case, Memory, UnitBench, bench_tests, edited

REPORT = StructLayout({"bad": 1, "frame": FRAME})


class Reported(Component):
    """The receiver with its strobes as a stream, and slot and room chosen for a whole case."""

    def __init__(self, receiver) -> None:
        self.receiver = receiver
        super().__init__(
            {
                "i": In(stream.Signature(DECODED)),
                "o": Out(stream.Signature(REPORT)),
                "slot": In(range(WINDOW)),
                "store": In(1),
                "write": Out(WritePort(REQUEST_RAM_BYTES, unsigned(8))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = self.receiver
        m.submodules.queue = queue = Queue(REPORT, 32)
        connect_stream(m, self.i, receiver.i)
        connect_stream(m, queue.o, self.o)
        m.d.comb += [
            receiver.slot.eq(self.slot),
            receiver.store.eq(self.store),
            queue.i.valid.eq(receiver.frame | receiver.bad),
            queue.i.payload.bad.eq(receiver.bad),
            *(
                getattr(self.write, name).eq(getattr(receiver.write, name))
                for name in ("enable", "address", "data")
            ),
        ]
        with m.If(receiver.frame):
            m.d.comb += queue.i.payload.frame.eq(receiver.o)
        return m


def broken(old, new):
    return lambda config: Reported(edited(FrameReceiver, old, new)())


def frame(kind, session, sequence, payload):
    body = bytes([kind | session << 4, sequence]) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def items(body, good=1):
    data = [{"data": byte, "end": 0, "good": 0} for byte in body]
    return [*data, {"data": 0, "end": 1, "good": good}]


class FramesBench(UnitBench):
    """Payloads of all sizes, too long ones, damaged ones."""

    name = "frames"
    configs = {"only": None}
    slow_configs = ("only",)  # played by cocotb in a third of the time
    bugs = {
        "wrong CRC taken": broken("item.good & (crc == CRC_RESIDUE)", "item.good"),
        "bad structure taken": broken("item.good & (crc", "(crc"),
        "too short": broken("(count >= _HEAD + _CRC) & ", ""),
        "too long": broken("& (count <= longest)\n", "\n"),
        "CRC stored over the payload": broken(" & ~place[8]", ""),
        "stored where there is no room": broken("& self.o.stored &", "&"),
        "CRC goes on": broken("                crc.eq(CRC_INIT),\n", ""),
        "length with the CRC": broken("count - (_HEAD + _CRC))", "count - _HEAD)"),
        "slot 0": broken("Cat(place[:8], self.slot)", "place[:8]"),
    }
    not_stalled = {"i": "always ready"}
    bug_configs = ("only",)

    def dut(self, config):
        return Reported(FrameReceiver())

    def cases(self, config, rng):
        for slot, store in ((5, 1), (2, 0)):
            inputs, reports = [], []
            ram = [0] * REQUEST_RAM_BYTES
            for length in (0, 1, 4, 100, 255, 256, 257, 300):
                payload = rng.bytes(length)
                kind, session, sequence = (int(n) for n in rng.integers(0, 16, 3))
                body = frame(kind, session, sequence, payload)
                good = length <= REQUEST_BYTES
                if store:
                    # What stands behind a shorter payload is not looked at.
                    stored = body[2:][:256]
                    ram[slot * 256 : slot * 256 + len(stored)] = stored
                said = {
                    "kind": kind, "session": session, "sequence": sequence, "length": length,
                    "stored": store,
                }  # fmt: skip
                nothing = dict.fromkeys(said, 0)
                inputs += items(body)
                reports.append({"bad": not good, "frame": said if good else nothing})
                damaged = bytearray(body)
                damaged[int(rng.integers(len(body)))] ^= 1 << int(rng.integers(8))
                for bad in (items(bytes(damaged)), items(body, good=0), items(body[:5])):
                    inputs += bad
                    reports.append({"bad": 1, "frame": nothing})
                if store:
                    for other in (bytes(damaged), body, body[:5]):
                        stored = other[2:][:256]
                        ram[slot * 256 : slot * 256 + len(stored)] = stored
            for short in (bytes(4), b"t" + zlib.crc32(b"t").to_bytes(4, "little")):
                inputs += items(short)
                reports.append({"bad": 1, "frame": nothing})
                if store:
                    stored = short[2:]
                    ram[slot * 256 : slot * 256 + len(stored)] = stored
            memory = Memory(
                [0] * REQUEST_RAM_BYTES,
                writes=[("write__enable", "write__address", "write__data")],
                expected=ram,
                name="requests",
            )
            yield Case(
                {"i": inputs},
                {"o": reports},
                constants={"slot": slot, "store": store},
                memories=[memory],
                name=f"slot {slot}",
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(FramesBench())
