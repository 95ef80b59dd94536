"""How far long work is, on stderr if that is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar

from sterna.device.chip import Progress

__all__ = ["showing"]


@contextmanager
def showing(what: str) -> Iterator[Progress]:
    """Show what is being done as long as the body runs; give a function to say how far it is."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield tell
