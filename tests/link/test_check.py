"""CrcAppender: frames with zlib's CRC-32 behind them."""

import zlib

from sterna_rtl.link.check import CrcAppender
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited


def items(data):
    """Bytes of a frame, the last one marked."""
    return [{"data": byte, "last": n == len(data) - 1} for n, byte in enumerate(data)]


def broken(old, new):
    return lambda config: edited(CrcAppender, old, new)()


class CrcAppenderBench(UnitBench):
    """Frames of several lengths, one after the other."""

    name = "crc_appender"
    configs = {"only": None}
    bugs = {
        "register not as at the beginning": broken("C(0xFF, 8)", "C(0, 8)"),
        "not complemented": broken("data.eq(~crc[:8])", "data.eq(crc[:8])"),
        "three bytes": broken("left.eq(_CRC)", "left.eq(_CRC - 1)"),
        "last byte not marked": broken("last.eq(left == 1)", "last.eq(0)"),
        "not held": broken("with m.If(self.o.ready):", "with m.If(1):"),
    }

    def dut(self, config):
        return CrcAppender()

    def cases(self, config, rng):
        frames = [rng.bytes(n) for n in (1, 2, 7, 40, 1)]
        wanted = [frame + zlib.crc32(frame).to_bytes(4, "little") for frame in frames]
        yield Case(
            {"i": [item for frame in frames for item in items(frame)]},
            {"o": [item for frame in wanted for item in items(frame)]},
            clocks=sum(map(len, wanted)),
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(CrcAppenderBench())


def test_contract():
    bug = broken("with m.If(self.o.ready):", "with m.If(1):")
    check_contract(CrcAppender, StreamContract(combinational=True), {"not held": lambda: bug(None)})
