"""How long the driver of a USB serial port keeps short answers back."""

from __future__ import annotations

from pathlib import Path

__all__ = ["latency_timer"]

_PORTS = Path("/sys/class/tty")


def latency_timer(port: str) -> tuple[Path, int] | None:
    """Return the file with a port's latency timer, and its ms; None where there is none.

    Chips of FTDI have one (Linux, `ftdi_sio`): less than a packet waits in them that long for more.
    """
    path = _PORTS / Path(port).resolve().name / "device" / "latency_timer"
    try:
        return path, int(path.read_text())
    except (OSError, ValueError):
        return None
