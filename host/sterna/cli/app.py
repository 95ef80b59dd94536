"""All commands under one name."""

from __future__ import annotations

from typing import Any

import typer

from sterna.cli import (
    bench,
    build,
    convert,
    doctor,
    evaluate,
    flash,
    generate,
    info,
    logits,
    plan,
    verilog,
)

__all__ = ["UsageError", "app"]

UsageError: Any = typer.BadParameter.__bases__[0]
"""Wrong options or values; the library has no public name for it."""

app = typer.Typer(
    help="MatMul-free language models on FPGAs: convert, run and measure.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("convert")(convert.convert_command)
app.command("info")(info.info_command)
app.command("generate")(generate.generate_command)
app.command("logits")(logits.logits_command)
app.command("eval")(evaluate.evaluate_command)
app.command("bench")(bench.bench_command)
app.command("build")(build.build_command)
app.command("doctor")(doctor.doctor_command)
app.command("flash")(flash.flash_command)
app.command("plan")(plan.plan_command)
app.command("verilog")(verilog.verilog_command)
