"""A command in a terminal: keys are typed to it, Ctrl-C among them, and its screen is read."""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import sys
import termios
import time

__all__ = ["INTERRUPT", "LISTEN", "Terminal"]

INTERRUPT, END = "\x03", "\x04"

LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A shell that starts pytest in the background lets it and its children ignore Ctrl-C."""

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`sterna` with a terminal as its stdin, stdout and stderr."""

    def __init__(self, *arguments: object) -> None:
        self._own, other = os.openpty()
        program = f"{LISTEN}\nfrom sterna.cli import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )
        os.close(other)
        self.screen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._own)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._own, keys.encode())

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read until a text has come; what has come before it is then forgotten."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            assert self._read(end), f"no {text!r} in {self.screen!r}"
        self.screen = self.screen.partition(text)[2]

    def wait(self, seconds: float = 60) -> int:
        """Read to the end; return the exit status."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return self._process.wait(seconds)

    def _read(self, end: float) -> bool:
        """Take what has come; False if there will be no more."""
        readable, _, _ = select.select([self._own], [], [], max(0, end - time.monotonic()))
        try:
            data = os.read(self._own, 1 << 16) if readable else b""
        except OSError:  # nobody holds the other end
            data = b""
        self.screen += _CODES.sub("", data.decode(errors="replace"))
        return bool(data)
