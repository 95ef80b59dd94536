"""The stream contract as one formal specification for every unit with stream ports.

A
    While a valid output waits, neither `valid` nor the payload changes, as long as the inputs keep
    to the same rule; after reset no output is valid. Proven for all time (k-induction).
B
    A unit that gives `items_out` items for each `items_in` never gives more than it was given the
    means for. Proven for all time where an invariant is given, otherwise for `depth` clocks.
C
    The item at any chosen position is the golden function of the input item at that position; for
    `depth` clocks.
D
    The unit can make progress: two items pass at each output, one of them after a stall. A cover.

The trap: with the clock missing from the ports nothing ever steps and everything is proven. So
each specification also runs on a planted bug, which it must refuse, and must reach its cover.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth import *
from amaranth.asserts import AnyConst
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring

from ..tools import BUILD, one_at_a_time, tool_environment
from .ports import Ports

__all__ = ["FormalError", "StreamContract", "check_contract", "prove"]


class FormalError(AssertionError):
    """A proof failed or a cover was not reached."""


@dataclass(frozen=True)
class StreamContract:
    """What to prove of a unit, beside A and D.

    Parameters
    ----------
    items_in, items_out : int
        B: the stream `output` gives at most `items_out` items for each `items_in` items that the
        stream `input` took. 0 leaves B out.
    input, output : str
        The streams of B and C.
    golden : callable, optional
        C, for one item out per item in: takes the input payload, returns the output payload.
    invariant : callable, optional
        Takes the unit and a signal `credit` (items taken less items given, each times the other's
        number in B), returns what always holds: with it B is proven for all time.
    also : callable, optional
        Takes the module of the specification and the unit, and adds what else to assume and to
        assert. Proven for all time; with a planted bug it runs for `depth` clocks.
    combinational : bool
        Outputs may follow the inputs within a clock. Units with registered outputs leave it False.
    free : tuple of str
        Plain inputs that may change on every clock, such as read data; the others keep still.
    depth : int
        Clocks of the bounded checks and of the cover.
    induction : int
        Depth of the induction.
    covers : int
        Items that pass at each output in the cover.
    engine : str
        What SBY calls: ``smtbmc yices`` or ``smtbmc z3``.
    """

    items_in: int = 0
    items_out: int = 1
    input: str = "i"
    output: str = "o"
    golden: Callable[[Any], Any] | None = None
    invariant: Callable[[Any, Signal], Value] | None = None
    also: Callable[[Module, Any], None] | None = None
    combinational: bool = False
    free: tuple[str, ...] = ()
    depth: int = 12
    induction: int = 4
    covers: int = 2
    engine: str = "smtbmc yices"


class _Specification(Elaboratable):
    """The unit with its assumptions and assertions around it."""

    def __init__(self, unit: wiring.Component, contract: StreamContract, mode: str):
        self.unit = unit
        self.contract = contract
        self.mode = mode
        self.ports = Ports.of(unit)
        self.domain = ClockDomain("sync")
        assert self.domain.rst is not None
        self.reset = self.domain.rst

    def top_ports(self) -> list[Value]:
        """Return the ports that the solver may drive. The clock must be among them."""
        driven = [self.ports.signals[name] for name in sorted(self.ports.driven)]
        return [self.domain.clk, self.reset, *driven]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains += self.domain
        m.submodules.unit = self.unit
        if self.mode == "cover":
            m.d.comb += Assume(~self.reset)
        for name, port in self.ports.inputs.items():
            keeps, _ = self._keeps(m, name, port.interface)
            m.d.comb += Assume(keeps)
        for name, port in self.ports.outputs.items():
            keeps, waited = self._keeps(m, name, port.interface)
            m.d.comb += Assert(keeps, f"{name}: valid or payload changed while it waited")
            self._cover(m, name, waited)
        self._after_reset(m)
        self._settings(m)
        if self.contract.also is not None:
            self.contract.also(m, self.unit)
        if self.contract.items_in:
            self._ratio(m)
        if self.contract.golden is not None and self.mode == "bmc":
            self._values(m)
        return m

    def _keeps(self, m: Module, name: str, interface: Any) -> tuple[Value, Signal]:
        """Return "as on the last clock if it waited then" and whether it waited."""
        payload = Value.cast(interface.payload).as_unsigned()
        waited = Signal(name=f"{name}_waited", reset_less=True)
        held = Signal(len(payload), name=f"{name}_held", reset_less=True)
        m.d.sync += waited.eq(interface.valid & ~interface.ready & ~self.reset)
        m.d.sync += held.eq(payload)
        return ~waited | (interface.valid & (payload == held)), waited

    def _after_reset(self, m: Module) -> None:
        # Registers begin with their reset values, so the first clock counts as one after a reset.
        fresh = Signal(init=1, reset_less=True)
        m.d.sync += fresh.eq(self.reset)
        if self.contract.combinational:
            offered = Cat(port.interface.valid for port in self.ports.inputs.values()).any()
            fresh = fresh & ~offered
        for name, port in self.ports.outputs.items():
            with m.If(fresh):
                m.d.comb += Assert(~port.interface.valid, f"{name}: valid after reset")

    def _settings(self, m: Module) -> None:
        started = Signal(reset_less=True)
        m.d.sync += started.eq(1)
        for name in self.ports.plain:
            if name in self.ports.driven and name not in self.contract.free:
                signal = self.ports.signals[name]
                before = Signal(len(signal), name=f"{name}_before", reset_less=True)
                m.d.sync += before.eq(signal)
                with m.If(started):
                    m.d.comb += Assume(signal == before)

    def _cover(self, m: Module, name: str, waited: Signal) -> None:
        passed = Signal(range(self.contract.covers + 1), name=f"{name}_passed")
        stalled = Signal(name=f"{name}_stalled")
        with m.If(self._moves(name) & (passed != self.contract.covers)):
            m.d.sync += passed.eq(passed + 1)
        with m.If(self._moves(name) & waited):
            m.d.sync += stalled.eq(1)
        m.d.comb += Cover((passed == self.contract.covers) & stalled)

    def _moves(self, name: str) -> Value:
        interface = {**self.ports.inputs, **self.ports.outputs}[name].interface
        return interface.valid & interface.ready & ~self.reset

    def _ratio(self, m: Module) -> None:
        contract = self.contract
        credit = Signal(signed(32))
        taken = Mux(self._moves(contract.input), contract.items_out, 0)
        given = Mux(self._moves(contract.output), contract.items_in, 0)
        m.d.sync += credit.eq(credit + taken - given)
        if contract.invariant is not None:
            m.d.comb += Assert(contract.invariant(self.unit, credit), "the invariant fails")
        elif self.mode != "bmc":
            return
        offered = self.ports.inputs[contract.input].interface.valid if contract.combinational else 0
        output = self.ports.outputs[contract.output].interface
        enough = credit + Mux(offered, contract.items_out, 0) >= contract.items_in
        m.d.comb += Assert(~output.valid | enough, "an output without its input")

    def _values(self, m: Module) -> None:
        contract = self.contract
        assert contract.golden is not None
        chosen = AnyConst(8)
        given = self.ports.inputs[contract.input].interface.payload
        output = self.ports.outputs[contract.output].interface
        count_in, count_out = Signal(8), Signal(8)
        item = Signal(given.shape())
        m.d.sync += count_in.eq(count_in + self._moves(contract.input))
        m.d.sync += count_out.eq(count_out + self._moves(contract.output))
        with m.If(self._moves(contract.input) & (count_in == chosen)):
            m.d.sync += item.eq(given)
        with m.If(output.valid & (count_out == chosen) & (count_in > chosen)):
            expected = Value.cast(contract.golden(item))
            m.d.comb += Assert(Value.cast(output.payload) == expected, "the value is wrong")


@functools.cache
def _warm_up() -> None:
    """Let one process alone compile Yosys from WebAssembly (once per machine, under a minute)."""
    with one_at_a_time(BUILD / "yosys.lock"):
        subprocess.run(["yosys", "-V"], env=tool_environment(), check=True, capture_output=True)


def prove(unit: wiring.Component, contract: StreamContract, mode: str) -> tuple[str, str]:
    """Run one mode of the specification.

    Parameters
    ----------
    unit : wiring.Component
        A fresh instance, small: two to four lanes.
    contract : StreamContract
        What to prove.
    mode : str
        ``prove`` (induction), ``bmc`` (bounded) or ``cover``.

    Returns
    -------
    status : str
        PASS, FAIL (with a counter-example) or UNKNOWN (no induction at this depth).
    log : str
        What SBY said.

    Raises
    ------
    RuntimeError
        If the tools failed.
    """
    _warm_up()
    specification = _Specification(unit, contract, mode)
    text = rtlil.convert(
        specification, ports=specification.top_ports(), platform="formal", emit_src=False
    )
    depth = contract.induction if mode == "prove" else contract.depth
    script = (
        f"[options]\nmode {mode}\ndepth {depth}\n[engines]\n{contract.engine}\n"
        "[script]\nread_rtlil top.il\nprep -top top\n[files]\ntop.il\n"
    )
    digest = hashlib.sha256((script + text).encode()).hexdigest()[:16]
    folder = BUILD / "formal" / digest
    folder.mkdir(parents=True, exist_ok=True)
    # Two test processes may ask for the same proof.
    with one_at_a_time(folder / "lock"):
        (folder / "top.il").write_text(text)
        (folder / "task.sby").write_text(script)
        done = subprocess.run(
            ["sby", "-f", "-d", "task", "task.sby"],
            cwd=folder,
            env=tool_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        status = folder / "task" / "status"
        word = status.read_text().split()[0] if status.exists() else "ERROR"
    log = done.stdout + done.stderr
    if word not in ("PASS", "FAIL", "UNKNOWN"):
        raise RuntimeError(f"SBY ended with {word} in {folder}:\n{log[-3000:]}")
    return word, log


def check_contract(
    unit: Callable[[], wiring.Component],
    contract: StreamContract,
    bugs: Mapping[str, Callable[[], wiring.Component]],
) -> None:
    """Prove the contract of a unit, reach its cover, and refuse each planted bug.

    Parameters
    ----------
    unit : callable
        Makes the unit.
    contract : StreamContract
        What to prove.
    bugs : dict
        Make broken units; for each there must be a counter-example.

    Raises
    ------
    FormalError
        If anything but that happens.
    """
    if not bugs:
        raise FormalError("no planted bug: a proof that can't fail shows nothing")
    modes = ["prove", "cover"]
    if contract.golden is not None or (contract.items_in and contract.invariant is None):
        modes.append("bmc")
    for mode in modes:
        status, log = prove(unit(), contract, mode)
        if status != "PASS":
            raise FormalError(f"{mode}: {status}\n{log[-3000:]}")
    for name, bug in bugs.items():
        status, log = prove(bug(), contract, "bmc")
        if status != "FAIL":
            raise FormalError(f"planted bug {name!r} was not found: {status}\n{log[-3000:]}")
