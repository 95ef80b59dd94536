"""Write the reference chip as one Verilog file and print its hash.

`make verilog` runs it. The same source gives the same bytes: a change that should change nothing in
the gateware can be seen to.
"""

from __future__ import annotations

import hashlib

from amaranth.back import verilog

from sterna.spec.chip import REFERENCE
from sterna_rtl.chip import Chip
from sterna_sim.tools import BUILD

__all__ = ["main"]


def main() -> None:
    """Write `build/verilog/sterna.v`."""
    chip = Chip(REFERENCE)
    text = verilog.convert(chip, name="sterna", emit_src=False, strip_internal_attrs=True)
    path = BUILD / "verilog" / "sterna.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"{path}: configuration {REFERENCE.digest}, SHA-256 {digest}")


if __name__ == "__main__":
    main()
