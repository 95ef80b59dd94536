"""Every unit has its test and its golden functions, and keeps the house rules of gateware."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import stream, wiring

import sterna_rtl
from sterna_rtl.chip import Chip
from tests.control.chips import chip

ROOT = Path(__file__).parents[2]
RTL = ROOT / "rtl" / "sterna_rtl"
FOLDERS = ("arith", "control", "datapath", "lib", "link", "pcie", "tape")

TESTED_WITH = {
    "arith/lane": "datapath/test_epilogue",
    "arith/pre_activation": "datapath/test_epilogue",
    "arith/xorshift": "datapath/test_sampler",
    "datapath/segment": "datapath/test_epilogue",
    "lib/memory": "lib/test_ram",
    "pcie/block": "pcie/test_access",
    "pcie/completer": "pcie/test_access",
    "pcie/reader": "pcie/test_access",
    "pcie/writer": "pcie/test_access",
}
"""Parts of a unit that are tested in it, and not alone."""

ALLOWED = {"family": ("Instance",), "boards": ("Instance", "Elaboratable")}
"""What only these folders may use: primitives of an FPGA, and tops without ports."""

GOLDEN_IN = {
    "choice": "sampler",
    "embedding_fetch": "embedding",
    "noise": "sampler",
    "segment": "epilogue",
}
"""Golden files of units of the data path that have none of their own name."""


def units():
    """All files of gateware but the packages' own."""
    return [
        path.relative_to(RTL).with_suffix("").as_posix()
        for folder in FOLDERS
        for path in sorted((RTL / folder).glob("*.py"))
        if path.name != "__init__.py"
    ]


def sources():
    return sorted(RTL.rglob("*.py"))


@pytest.mark.parametrize("unit", units())
def test_unit_has_its_test(unit):
    folder, name = unit.split("/")
    own = ROOT / "tests" / folder / f"test_{name}.py"
    if unit in TESTED_WITH:
        assert not own.exists(), f"{own.name} is there: take {unit} out of TESTED_WITH"
        own = ROOT / "tests" / f"{TESTED_WITH[unit]}.py"
    assert own.exists()


@pytest.mark.parametrize("unit", [unit for unit in units() if unit.startswith("datapath/")])
def test_unit_has_its_golden_file(unit):
    name = unit.split("/")[1]
    assert (ROOT / "host" / "sterna" / "golden" / f"{GOLDEN_IN.get(name, name)}.py").exists()


def test_tables_are_no_longer_than_the_tree():
    assert set(TESTED_WITH) <= set(units())
    assert {f"datapath/{name}" for name in GOLDEN_IN} <= set(units())


def faults(tree):
    """Yield what a file of gateware must not hold."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="Record" | "Instance" | "Elaboratable" as name):
                yield f"{name}, line {node.lineno}"
            case ast.Attribute(attr="Record" | "Instance" | "Elaboratable" as name):
                yield f"{name}, line {node.lineno}"
            case ast.AugAssign(target=ast.Attribute(attr="submodules")):
                yield f"submodule without a name, line {node.lineno}"
            case ast.Call(func=ast.Attribute(attr="FSM"), args=[], keywords=[]):
                yield f"FSM without a name, line {node.lineno}"
            case ast.ImportFrom(module="amaranth", names=[ast.alias(name="*")]):
                pass
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                yield f"star import, line {node.lineno}"
            case ast.keyword(arg="always_ready" | "always_valid" as name):
                yield f"{name}, line {node.value.lineno}"


@pytest.mark.parametrize(
    "text",
    [
        "class Unit(Elaboratable): pass",
        "class Unit(hdl.Elaboratable): pass",
        "bus = Record([])",
        "m.submodules += unit",
        "with m.FSM(): pass",
        "from amaranth.lib.wiring import *",
        "stream.Signature(8, always_ready=True)",
    ],
)
def test_faults_are_seen(text):
    assert list(faults(ast.parse(text)))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(RTL).as_posix())
def test_gateware(path):
    tree, folder = ast.parse(path.read_text()), path.relative_to(RTL).parts[0]
    allowed = ALLOWED.get(folder, ())
    assert [fault for fault in faults(tree) if fault.split(",")[0] not in allowed] == []
    targets = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    assert path.name == "__init__.py" or "__all__" in names


def has_stream(signature):
    """Whether a signature is a stream or holds one."""
    if isinstance(signature, wiring.FlippedSignature):
        signature = signature.flip()
    if isinstance(signature, stream.Signature):
        return True
    return any(m.is_signature and has_stream(m.signature) for m in signature.members.values())


def test_streams_are_connected_with_their_shapes(monkeypatch):
    """`wiring.connect` joins streams of other shapes without a word: no unit calls it for one."""
    calls = []

    def checked(m, *interfaces):
        calls.append(interfaces)
        assert not any(has_stream(interface.signature) for interface in interfaces)
        wiring.connect(m, *interfaces)

    for info in pkgutil.walk_packages(sterna_rtl.__path__, "sterna_rtl."):
        module = importlib.import_module(info.name)
        assert not hasattr(module, "wiring"), f"{info.name} can call wiring.connect"
        if hasattr(module, "connect"):
            monkeypatch.setattr(module, "connect", checked)
    Fragment.get(Chip(chip()), None)
    assert len(calls) > 10


def test_stream_in_a_connection_is_seen():
    item = stream.Signature(8)
    assert has_stream(item)
    assert has_stream(item.flip())
    assert has_stream(wiring.Signature({"a": wiring.Out(item)}).flip())
    assert not has_stream(wiring.Signature({"valid": wiring.Out(1)}))
