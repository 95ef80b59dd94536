"""Arrows between packages point one way, and the host needs none of the gateware's tools."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOST = ROOT / "host" / "sterna"

MAY_IMPORT = {
    "errors": set(),
    "bitstream": {"errors"},
    "files": {"errors"},
    "spec": {"errors"},
    "model": {"errors", "files", "spec"},
    "golden": {"errors", "spec", "model"},
    "firmware": {"spec", "golden"},
    "device": {"errors", "files", "spec", "model", "golden"},
    "evaluate": {"errors", "spec", "model", "device"},
    "figures": {"model", "device"},
    "plan": {"errors", "spec", "model"},
    "session": {"errors", "model", "device"},
    "trace": {"spec", "model"},
    "cli": {
        "bitstream",
        "errors",
        "files",
        "spec",
        "model",
        "device",
        "evaluate",
        "figures",
        "plan",
        "session",
        "trace",
    },
}
"""What each part of sterna may import beside itself."""

BLOCKED = ("amaranth", "torch", "cocotb", "sterna_rtl", "sterna_sim")


def imports(path):
    """Full names of all modules that a file imports, at its top or anywhere else."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).parts[1 : -node.level]
                base = ".".join((*package, base)).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_imports_are_found(tmp_path):
    """The rule's own negative control."""
    path = ROOT / "host" / "sterna" / "cli" / "options.py"
    found = set(imports(path))
    assert {"json", "sterna.errors", "sterna.model.container", "sterna.model"} <= found
    relative = set(imports(ROOT / "rtl" / "sterna_rtl" / "lib" / "queue.py"))
    assert "sterna_rtl.lib.stream" in relative


@pytest.mark.parametrize(
    "part", sorted({path.relative_to(HOST).parts[0] for path in HOST.rglob("*.py")})
)
def test_parts_of_the_host(part):
    name = part.removesuffix(".py")
    files = [HOST / part] if part.endswith(".py") else sorted((HOST / part).rglob("*.py"))
    allowed = MAY_IMPORT.get(name, set()) | {name}
    wrong = []
    for path in files:
        for module in imports(path):
            package, *inner = module.split(".")
            if package in BLOCKED or (package == "sterna" and inner and inner[0] not in allowed):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


@pytest.mark.parametrize(
    "package, blocked", [("rtl", ("sterna_sim", "torch")), ("sim", ("torch",))]
)
def test_gateware(package, blocked):
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for module in imports(path)
        if module.split(".")[0] in (*blocked, "tests")
    ]
    assert wrong == []


def test_host_needs_what_is_declared():
    """Other packages that the host imports are its dependencies, all of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split("[>=<]", dependency)[0] for dependency in project["dependencies"]}
    found = {module.split(".")[0] for path in HOST.rglob("*.py") for module in imports(path)}
    found -= {"sterna", *sys.stdlib_module_names}
    assert {"pyserial" if name == "serial" else name for name in found} == declared


def test_host_alone():
    """All modules of the host, with everything else blocked; the golden device opens."""
    program = f"""
import sys
for name in {BLOCKED!r}:
    sys.modules[name] = None
import importlib, pkgutil
import sterna
names = [module.name for module in pkgutil.walk_packages(sterna.__path__, "sterna.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    modules = [path for path in HOST.rglob("*.py") if path != HOST / "__init__.py"]
    assert int(done.stdout) == len(modules)
