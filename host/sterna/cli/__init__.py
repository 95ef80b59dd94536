"""The `sterna` command."""

from __future__ import annotations

import errno
import io
import os
import sys

from sterna.errors import InputError, SternaError

__all__ = ["main"]


def main() -> None:
    """Run the command; a known error is one sentence and an exit status, 130 after Ctrl-C."""
    # A text may hold what a terminal cannot show, and what is typed may be no text.
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            errors = "surrogateescape" if stream is sys.stdin else "backslashreplace"
            stream.reconfigure(errors=errors)
    try:
        try:
            sys.exit(_run(sys.argv[1:] or ["--help"]))
        finally:
            sys.stdout.flush()
    except SternaError as error:
        _fail(error)
    except OSError as error:
        _drop_output()
        if error.errno == errno.EPIPE:  # nobody reads on, as with `| head`
            sys.exit(1)
        _fail(InputError(f"cannot write {error.filename or 'the output'}: {error.strerror}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(arguments: list[str]) -> int:
    """Run a command; return its exit status."""
    # This takes most of a second, in which there may be a Ctrl-C too.
    from sterna.cli.app import UsageError, app

    try:
        return app(arguments, prog_name="sterna", standalone_mode=False) or 0
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "sterna"
        message = " ".join(error.format_message().split()).rstrip(".")
        raise InputError(f"{message}; see `{command} --help`") from error


def _fail(error: SternaError) -> None:
    print(f"sterna: {error}", file=sys.stderr)
    sys.exit(error.exit_status)


def _drop_output() -> None:
    """Let what could not be written go, so that Python does not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
