"""Generated Verilog is the same in every process."""

import subprocess
import sys

PROGRAM = """
import sys; sys.path[:0] = ["rtl", "sim", "host"]
import hashlib
from sterna_rtl.lib.queue import Queue
from sterna_sim.kit import to_verilog
print(hashlib.sha256(to_verilog(Queue(8, 5)).encode()).hexdigest())
"""


def test_verilog_does_not_depend_on_the_hash_seed(pytestconfig):
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=pytestconfig.rootpath,
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(hashes) == 1
