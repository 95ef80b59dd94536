"""The host's end of the serial link: requests in order, each executed once (go-back-N)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from sterna.device.identity import check_identity
from sterna.device.operations import Operation, Request, pack, read_next, rest, write
from sterna.device.serial_port import SerialPort
from sterna.errors import DeviceError, InputError, LinkReset
from sterna.spec.link import WINDOW, Frame, Kind, Outcome, decode, encode

__all__ = ["SerialLink"]

_SHORTEST_WAIT = 0.05
_LONGEST_WAIT = 2.0
_TRIES = 4
"""So many times nothing is heard before the device is taken to have been reset."""

_OPENINGS = 6
"""Tries to begin a session, each twice as patient as the one before."""

_BEGINNINGS = 4
"""Sessions that may fall silent before the speed is changed, until a device is given up."""

_ROUNDS = 100
"""So many retransmissions bring no reply before the link is begun anew."""

_PATIENCE = 60.0
"""Seconds without room for a word after which a device is said to hang."""


class SerialLink:
    """A chip's registers through a serial port; see `sterna.spec.link`.

    Parameters
    ----------
    port : SerialPort
    baud : int, optional
        Speed to change to once the device has answered; by default it stays at `DEFAULT_BAUD`.

    Raises
    ------
    DeviceError
        If nothing answers, or what answers is no Sterna.
    LinkReset
        By `execute` and `offer`: the device has been reset meanwhile. The link is up again, what
        was asked may or may not have been done.
    """

    def __init__(self, port: SerialPort, baud: int | None = None) -> None:
        self._port = port
        self._baud = baud
        self._session = random.randrange(15)
        self._next = 0
        self._credits = 1
        self._heard = b""
        self._wait = 1.0
        self._round_trip = self._deviation = None
        self.retransmissions = 0
        try:
            self._open()
        except BaseException:
            port.close()
            raise

    def close(self) -> None:
        """Free the port."""
        self._port.close()

    def execute(self, operations: Sequence[Operation]) -> np.ndarray:
        """Do the operations in order; see `RegisterPort`."""
        with self._reopening():
            return self._execute(operations)

    def lend_tape(self, tape: np.ndarray) -> bool:
        """There is no way to this computer's memory."""
        return False

    def offer(self, operation: Operation) -> int:
        """Write what there is room for; see `RegisterPort`."""
        taken = 0
        with self._reopening():
            for outcome, count, _ in self._exchange(pack([operation])):
                if outcome != Outcome.HELD:
                    taken += count - 1
        return taken

    @contextmanager
    def _reopening(self) -> Iterator[None]:
        """After a reset bring the link up again, and say that there was one."""
        try:
            yield
        except LinkReset:
            self._open()
            raise

    def _execute(self, operations: Sequence[Operation]) -> np.ndarray:
        requests, words = pack(operations), bytearray()
        last_progress = time.monotonic()
        while requests:
            done = 0
            for request, (outcome, count, data) in zip(
                requests, self._exchange(requests), strict=True
            ):
                words += data
                done += 1
                if outcome == Outcome.NO_ROOM:
                    if count > 1:
                        last_progress = time.monotonic()
                    requests[done - 1] = rest(request, count)
                    done -= 1
                    break
            if done:
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > _PATIENCE:
                raise DeviceError(f"{self._port.name}: the device takes no more data; reset it")
            requests = requests[done:]
        return np.frombuffer(bytes(words), dtype="<u4")

    def _open(self) -> None:
        """Reset the device, begin a session, see what it is, and change to the speed wanted."""
        for _ in range(_BEGINNINGS):
            self._wait = 1.0
            self._synchronise()
            try:
                self._begin()
                return
            except LinkReset:  # silence again: chance, or a speed that the line cannot bear
                pass
        speed = f"no answer at {self._baud} baud" if self._baud else "the device falls silent"
        raise DeviceError(f"{self._port.name}: {speed}; try a lower speed or another cable")

    def _begin(self) -> None:
        identity = self._execute([read_next("MAGIC", 2), read_next("CLOCK_HZ", 1)])
        magic, version, clock_hz = (int(word) for word in identity)
        check_identity(self._port.name, magic, version)
        self.clock_hz = clock_hz
        if self._baud:
            self._change_speed(self._baud, clock_hz)

    def _change_speed(self, baud: int, clock_hz: int) -> None:
        divisor = max(1, round(clock_hz / baud))
        if divisor < 4 or abs(clock_hz / divisor / baud - 1) > 0.02:
            nearest = max(4, divisor)
            raise InputError(
                f"a device of {clock_hz / 1e6:g} MHz cannot run at {baud} baud; the nearest is "
                f"{clock_hz // nearest}"
            )
        self._execute([write("UART_DIVISOR", divisor)])
        self._port.set_baud(baud)
        self._execute([read_next("MAGIC", 1)])

    def _synchronise(self) -> None:
        """Break and SYNC until the device answers."""
        for attempt in range(_OPENINGS):
            self._port.line_break(0.02 * 2**attempt)
            self._port.read(0)
            self._heard = b""
            self._session = self._session % 15 + 1
            self._credits = 1  # until the device has said how many
            self._next = random.randrange(256)
            self._port.write(encode(Frame(Kind.SYNC, self._session, self._next)))
            end = time.monotonic() + 0.2 * 2**attempt
            while (left := end - time.monotonic()) > 0:
                for frame in self._frames(left):
                    if (frame.kind, frame.session, frame.sequence) == (
                        Kind.SYNCED, self._session, self._next,
                    ):  # fmt: skip
                        return
        raise DeviceError(
            f"nothing answers on {self._port.name}; see that the board has power, that Sterna's "
            "bitstream is loaded and that this is the port of its UART"
        )

    def _frames(self, seconds: float) -> list[Frame]:
        """Frames that have come whole, waiting up to `seconds` for bytes."""
        *blocks, self._heard = (self._heard + self._port.read(seconds)).split(b"\0")
        self._heard = self._heard[-1024:]  # noise without a zero
        return [frame for block in blocks if block and (frame := decode(block))]

    def _exchange(self, requests: list[Request]) -> list[tuple[int, int, bytes]]:
        """Send requests, the first of them RESUME; return outcome, words done and words read."""
        replies: list[tuple[int, int, bytes] | None] = [None] * len(requests)
        sent_at = [0.0] * len(requests)
        begin, following = 0, 0
        silent, rounds = 0, 0  # waits and retransmissions since the last reply
        wait, heard_at = self._wait, time.monotonic()
        while begin < len(requests):
            while following < min(begin + self._credits, len(requests)):
                if replies[following] is None:
                    kind = Kind.EXECUTE if following else Kind.RESUME
                    number = (self._next + following) % 256
                    payload = requests[following].payload
                    # A frame that is sent again says nothing about how long a reply takes.
                    sent_at[following] = 0.0 if sent_at[following] else time.monotonic()
                    self._port.write(encode(Frame(kind, self._session, number, payload)))
                following += 1
            left = heard_at + wait - time.monotonic()
            frames = self._frames(left) if left > 0 else []
            if not frames and heard_at + wait <= time.monotonic():
                silent, rounds = silent + 1, rounds + 1
                if silent == _TRIES:
                    raise self._reset()
                wait = min(2 * wait, _LONGEST_WAIT)
                heard_at = time.monotonic()
                self.retransmissions += following - begin
                following = begin
            for frame in frames:
                if frame.kind == Kind.LOST and frame.session != self._session:
                    raise self._reset()
                if frame.session != self._session:
                    continue
                offset = (frame.sequence - self._next - begin + 128) % 256 - 128
                index = begin + offset
                heard_at, silent = time.monotonic(), 0
                if frame.kind == Kind.AGAIN:
                    rounds += 1
                    if begin <= index < following:
                        self.retransmissions += following - index
                        following = index
                elif frame.kind == Kind.DONE and begin <= index < following:
                    if replies[index] is None:
                        rounds = 0
                        self._measure(sent_at[index], heard_at)
                        wait = self._wait
                    replies[index] = self._reply(frame, requests[index])
                    self._credits = min(max(1, frame.payload[-1]), WINDOW)
            if rounds > _ROUNDS:
                raise self._reset()
            while begin < len(requests) and replies[begin] is not None:
                begin += 1
            following = max(following, begin)
        self._next = (self._next + len(requests)) % 256
        return [reply for reply in replies if reply is not None]

    def _reply(self, frame: Frame, request: Request) -> tuple[int, int, bytes]:
        words, (outcome, count, _) = frame.payload[:-3], frame.payload[-3:]
        whole = outcome == Outcome.DONE and len(words) == 4 * request.reads
        if not (whole or outcome in (Outcome.NO_ROOM, Outcome.HELD)):
            raise DeviceError(f"{self._port.name}: the device did not understand a request")
        return outcome, count, words

    def _measure(self, sent: float, heard: float) -> None:
        """How long to wait for a reply, after Jacobson 1988."""
        if not sent:
            return
        sample = heard - sent
        if self._round_trip is None or self._deviation is None:
            self._round_trip, self._deviation = sample, sample / 2
        self._deviation += (abs(sample - self._round_trip) - self._deviation) / 4
        self._round_trip += (sample - self._round_trip) / 8
        wait = self._round_trip + 4 * self._deviation
        self._wait = min(max(wait, _SHORTEST_WAIT), _LONGEST_WAIT)

    def _reset(self) -> LinkReset:
        return LinkReset(f"{self._port.name}: the device was reset")
