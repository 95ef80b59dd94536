"""The `sterna` command."""

from __future__ import annotations

import errno
import io
import os
import sys

import typer

from sterna.cli import bench, convert, doctor, evaluate, generate, info, logits, verilog
from sterna.errors import InputError, SternaError

__all__ = ["app", "main"]

app = typer.Typer(
    help="MatMul-free language models on FPGAs: convert, run and measure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("convert")(convert.convert_command)
app.command("info")(info.info_command)
app.command("generate")(generate.generate_command)
app.command("logits")(logits.logits_command)
app.command("eval")(evaluate.evaluate_command)
app.command("bench")(bench.bench_command)
app.command("doctor")(doctor.doctor_command)
app.command("verilog")(verilog.verilog_command)


def main() -> None:
    """Run the command; a known error is one sentence and an exit status, 130 after Ctrl-C."""
    # A text may hold what a terminal cannot show.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="sterna")
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


def _fail(error: SternaError) -> None:
    print(f"sterna: {error}", file=sys.stderr)
    sys.exit(error.exit_status)


def _drop_output() -> None:
    """Let what could not be written go, so that Python does not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
