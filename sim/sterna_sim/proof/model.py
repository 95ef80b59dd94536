"""A netlist with mutants, compiled: the kit's player plays it, and runs are played again in C++."""

from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.player import Engine
from ..kit.ports import Ports, counts_while
from ..tools import VERILATOR_MAKEFLAGS, compile_once
from .mutants import CHOICE, Netlist

__all__ = ["Model", "Player", "Run"]

_DRIVER = Path(__file__).with_name("model.cpp")

_VERILATOR = (
    "--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
    "-CFLAGS", "-fPIC -std=c++17", "-LDFLAGS", "-shared", *VERILATOR_MAKEFLAGS,
    "-MAKEFLAGS", "OPT_FAST=-O1", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--prefix", "Vtop",
    "--top-module", "top", "-o", "libunit.so",
)  # fmt: skip


class Model:
    """A compiled unit with its mutants.

    Parameters
    ----------
    netlist : Netlist
        What to compile, unless it has been.
    ports : Ports
        The unit's ports.
    """

    def __init__(self, netlist: Netlist, ports: Ports):
        text = (netlist.folder / "unit.v").read_text()
        self.machines = {name: m for name, m in netlist.machines.items() if f" {name};" in text}
        # Ports without bits are not in the netlist.
        widths = {name: len(signal) for name, signal in ports.signals.items() if len(signal)}
        self.clocked = "input clk;" in text
        self.inputs = {name: widths[name] for name in widths if name in ports.driven}
        if "input rst;" in text:
            self.inputs["rst"] = 1
        self.outputs = {name: widths[name] for name in widths if name not in ports.driven}
        self.outputs |= {
            name: (len(m.states) - 1).bit_length() for name, m in self.machines.items()
        }
        self.library = _load(_build(netlist, self._ports(), self.clocked))
        self.bytes = sum(map(_bytes, self.outputs.values()))

    def _ports(self) -> str:
        """Return the ports as the driver has them."""
        order = list(self.outputs)
        rows = {
            "INPUTS": [_port(name, -1) for name in self.inputs],
            "OUTPUTS": [_port(name, self._compared(name, order)) for name in order],
        }
        return "".join(f"#define {key} {', '.join(row)}\n" for key, row in rows.items())

    def _compared(self, name: str, order: list[str]) -> int:
        """Return the output under which one counts; registers of state machines are no outputs."""
        if name in self.machines:
            return -2
        under = counts_while(name, order)
        return -1 if under is None else order.index(under)


def _bytes(width: int) -> int:
    """Bytes that Verilator gives a port."""
    for bytes_ in (1, 2, 4, 8):
        if width <= 8 * bytes_:
            return bytes_
    return 4 * (-(-width // 32))


def _view(width: int) -> Any:
    """Return the type through which Python sees a port."""
    numbers = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}
    return numbers.get(_bytes(width)) or ctypes.c_char * _bytes(width)


def _port(name: str, compared: int) -> str:
    place = "top." + name.replace("__", "___05F")
    return f"Port{{&{place}, sizeof({place}), {compared}}}"


def _build(netlist: Netlist, ports: str, clocked: bool) -> Path:
    choose = f"top.{CHOICE} = number"
    clock = "top.clk = level" if clocked else "(void)level"
    driver = (
        f"#define CHOOSE(number) {choose}\n#define CLOCK(level) {clock}\n{ports}"
        f"{_DRIVER.read_text()}"
    )
    digest = hashlib.sha256("\0".join((driver, *_VERILATOR)).encode()).hexdigest()[:16]

    def prepare(work: Path) -> list[str]:
        (work / "driver.cpp").write_text(driver)
        return [*_VERILATOR, "../unit.v", "driver.cpp"]

    return compile_once(netlist.folder / digest, "libunit.so", prepare)


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    pointer, u64 = ctypes.c_void_p, ctypes.c_uint64
    for name, result, arguments in (
        ("unit_new", pointer, [ctypes.c_uint]),
        ("unit_delete", None, [pointer]),
        ("unit_inputs", pointer, [pointer]),
        ("unit_outputs", pointer, [pointer]),
        ("unit_settle", None, [pointer]),
        ("unit_clock", None, [pointer]),
        ("unit_record", None, [pointer, pointer]),
        ("unit_replay", u64, [pointer, pointer]),
        ("run_new", pointer, []),
        ("run_delete", None, [pointer]),
        ("run_clocks", u64, [pointer]),
        ("run_outputs", pointer, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Run:
    """What went in and out of the unmutated unit, clock by clock."""

    def __init__(self, model: Model):
        self.model = model
        self.handle = model.library.run_new()

    def __del__(self) -> None:
        self.model.library.run_delete(self.handle)

    @property
    def clocks(self) -> int:
        """Clocks so far."""
        return self.model.library.run_clocks(self.handle)

    def column(self, output: str) -> np.ndarray:
        """Return an output of up to 8 bits, one value a clock."""
        names = list(self.model.outputs)
        at = sum(_bytes(self.model.outputs[name]) for name in names[: names.index(output)])
        size = self.clocks * self.model.bytes
        place = self.model.library.run_outputs(self.handle)
        data = np.frombuffer(ctypes.string_at(place, size), np.uint8)
        return data.reshape(self.clocks, self.model.bytes)[:, at]

    def first_difference(self, mutant: int) -> int | None:
        """Return the first clock on which a mutant shows anything else, given the same inputs."""
        library = self.model.library
        unit = library.unit_new(mutant)
        clock = library.unit_replay(unit, self.handle)
        library.unit_delete(unit)
        return None if clock == self.clocks else clock


class Player(Engine):
    """A fresh mutant for the kit's player.

    Parameters
    ----------
    model : Model
        The unit.
    mutant : int
        Its number, 0 for none.
    run : Run, optional
        Where to record what goes in and out.
    """

    def __init__(self, model: Model, mutant: int = 0, run: Run | None = None):
        super().__init__()
        library = self.library = model.library
        self.unit = library.unit_new(mutant)
        if run is not None:
            library.unit_record(self.unit, run.handle)
        self.views: dict[str, Any] = {}
        for place, widths in (
            (library.unit_inputs(self.unit), model.inputs),
            (library.unit_outputs(self.unit), model.outputs),
        ):
            for name, width in widths.items():
                self.views[name] = _view(width).from_address(place)
                place += _bytes(width)

    def __del__(self) -> None:
        self.library.unit_delete(self.unit)

    def _write(self, name: str, value: int) -> None:
        view = self.views.get(name)
        if isinstance(view, ctypes.Array):
            view.raw = value.to_bytes(len(view), "little")
        elif view is not None:
            view.value = value

    def read(self, name: str) -> int:
        view = self.views.get(name)
        if isinstance(view, ctypes.Array):
            return int.from_bytes(view.raw, "little")
        return 0 if view is None else view.value

    async def settle(self) -> None:
        self.library.unit_settle(self.unit)

    async def clock(self) -> None:
        self.library.unit_clock(self.unit)
