"""The `sterna` command."""

from __future__ import annotations

import sys

import typer

from sterna.cli import convert, evaluate, generate, info, logits
from sterna.errors import SternaError

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


def main() -> None:
    """Run the command; a known error is one sentence and an exit status."""
    try:
        app()
    except SternaError as error:
        print(f"sterna: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
