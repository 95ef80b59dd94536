"""A serial port: bytes in and out, and what can go wrong with it in words."""

from __future__ import annotations

import errno
import time

import serial
from serial.tools import list_ports

from sterna.errors import DeviceError, InputError
from sterna.spec.link import DEFAULT_BAUD

__all__ = ["SerialPort"]

_BREAK_BAUD = DEFAULT_BAUD // 8
"""A zero byte at this speed is a line break for a device at up to four times the default."""


class SerialPort:
    """An open port; nobody else may have it.

    Parameters
    ----------
    name : str
        Such as ``/dev/ttyUSB0``.

    Raises
    ------
    InputError
        If it cannot be opened.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self._port = serial.Serial(name, DEFAULT_BAUD, timeout=0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise InputError(_cannot_open(name, error)) from error

    def set_baud(self, baud: int) -> None:
        """Change the speed of both directions."""
        try:
            self._port.baudrate = baud
        except (OSError, ValueError) as error:
            raise InputError(f"{self.name} cannot run at {baud} baud: {error}") from error

    def write(self, data: bytes) -> None:
        """Give bytes to the port."""
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error

    def read(self, seconds: float) -> bytes:
        """Bytes that have come; waits up to `seconds` for the first."""
        try:
            self._port.timeout = max(0.0, seconds)
            first = self._port.read(1)
            self._port.timeout = 0
            return first + self._port.read(1 << 16) if first else b""
        except (serial.SerialException, OSError, TypeError) as error:
            # pyserial raises TypeError if the port is closed while it reads.
            raise self._gone(error) from error

    def line_break(self, seconds: float) -> None:
        """Hold the line low long enough to reset a device; leaves the port at the default speed.

        A zero at a low speed is a break that every adapter can send. `seconds` is how long the
        port is left alone with it.
        """
        self.set_baud(_BREAK_BAUD)
        self.write(b"\0")
        try:
            self._port.flush()
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error
        time.sleep(10 / _BREAK_BAUD + seconds)
        self.set_baud(DEFAULT_BAUD)

    def close(self) -> None:
        """Free the port."""
        self._port.close()

    def _gone(self, error: Exception) -> DeviceError:
        return DeviceError(f"{self.name} is gone ({error}); plug the board in again and start over")


def _cannot_open(name: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        known = ", ".join(sorted(port.device for port in list_ports.comports()))
        found = known or "none, so the board is not plugged in or has no driver; see `dmesg | tail`"
        return f"there is no port {name}; ports found: {found}"
    if number == errno.EACCES:
        return f"{name} may not be opened by you; add yourself to the group that owns it (dialout)"
    if number == errno.EBUSY or "exclusively lock" in str(error):
        return f"{name} is in use by another program; end that first"
    return f"{name} is not a serial port that can be opened: {error}"
