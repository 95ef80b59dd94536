"""A board behind a serial port."""

from __future__ import annotations

from sterna.device.serial_link import SerialLink
from sterna.device.serial_port import SerialPort
from sterna.errors import InputError
from sterna.model.model import Model

__all__ = ["open_uart", "parse_port"]

DEFAULT_SPEED = 1_000_000
"""Speed to which the link changes if the user names none: every common adapter has it."""


def parse_port(argument: str) -> tuple[str, int]:
    """Name and speed of ``/dev/ttyUSB0@3000000``."""
    name, _, speed = argument.partition("@")
    if not name:
        raise InputError(
            "a serial port is missing; give uart:/dev/ttyUSB0 or uart:/dev/ttyUSB0@3000000"
        )
    if not speed:
        return name, DEFAULT_SPEED
    if not (speed.isascii() and speed.isdigit() and 1200 <= int(speed) <= 100_000_000):
        raise InputError(f"the speed behind @ must be 1200 to 100000000 baud, not {speed!r}")
    return name, int(speed)


def open_uart(argument: str, model: Model | None = None) -> tuple[SerialLink, str]:
    """Open ``uart:PORT[@BAUD]``; a board's memories hold what they hold."""
    name, speed = parse_port(argument)
    return SerialLink(SerialPort(name), speed), f"board on {name}"
