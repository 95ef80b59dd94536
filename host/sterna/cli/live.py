"""Text that grows, with a line of figures under it where there is a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

__all__ = ["LiveText"]

_INTERVAL = 0.5


class LiveText:
    """Print text as it comes to stdout; nothing else if that is no terminal.

    Parameters
    ----------
    quiet : bool
        Print no text; the figures are shown on stderr.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._line, self._figures, self._looked = "", "", 0.0
        console = Console(stderr=quiet, highlight=False, markup=False)
        live = Live(console=console, auto_refresh=False, transient=quiet)
        self._live = live if console.is_terminal else None

    def __enter__(self) -> LiveText:
        if self._live:
            self._live.start()
        return self

    def write(self, text: str, figures: Callable[[], str] | None = None) -> None:
        """Add text; `figures` are asked for now and then."""
        if self._quiet:
            text = ""
        if self._live is None:
            print(text, end="", flush=True)
            return
        if figures and time.monotonic() - self._looked > _INTERVAL:
            self._looked, self._figures = time.monotonic(), figures()
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._live.console.print(Text(line), soft_wrap=True)
        shown = Group(Text(self._line), Text(self._figures, style="dim"))
        self._live.update(shown, refresh=True)

    def finish(self, text: str, figures: Callable[[], str]) -> None:
        """Add the last text, with figures that stay."""
        self._looked = 0.0
        self.write(text, figures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        elif not self._quiet:
            print()
