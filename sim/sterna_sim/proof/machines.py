"""The state machines of a unit: their states, and the transitions that its text declares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from amaranth.hdl import Module

__all__ = ["Machine", "recorded"]


@dataclass
class Machine:
    """One state machine.

    Attributes
    ----------
    name : str
        As in the unit's text.
    states : list of str
        In the order of their numbers.
    transitions : set of tuple
        Pairs of states, as each `m.next` in a state declares one.
    """

    name: str
    states: list[str] = field(default_factory=list)
    transitions: set[tuple[str, str]] = field(default_factory=set)

    def see(self, state: str) -> None:
        """Number a state when it is first named, as Amaranth does."""
        if state not in self.states:
            self.states.append(state)


@contextmanager
def recorded() -> Iterator[dict[str, Machine]]:
    """Record the machines of what is elaborated meanwhile, by the name of their register.

    Instances of a unit share names, so each machine gets a number in its register's name.
    """
    machines: dict[str, Machine] = {}
    inside: list[Machine] = []
    at: list[str] = []
    make, enter, leave = Module.FSM, Module.State, Module.next.fset
    assert leave is not None

    @contextmanager
    def fsm(self: Module, init: Any = None, domain: str = "sync", name: str = "fsm") -> Any:
        unique = f"{name}_{len(machines)}"
        machine = machines[f"{unique}_state"] = Machine(name)
        inside.append(machine)
        with make(self, init, domain, unique) as made:
            yield made
        inside.pop()

    @contextmanager
    def state(self: Module, name: str) -> Any:
        inside[-1].see(name)
        at.append(name)
        with enter(self, name):
            yield
        at.pop()

    def next_state(self: Module, name: str) -> None:
        inside[-1].see(name)
        if name != at[-1]:
            inside[-1].transitions.add((at[-1], name))
        leave(self, name)

    with (
        mock.patch.object(Module, "FSM", fsm),
        mock.patch.object(Module, "State", state),
        mock.patch.object(Module, "next", property(None, next_state)),
    ):
        yield machines
