"""Probes: every unit boundary of the chip, brought to pins of a simulation top."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.chip import Chip
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.stream import transfers

__all__ = ["PROBES", "Probe", "ProbedChip"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A place where the chip is compared with the golden model.

    Attributes
    ----------
    name : str
    unit : str
        Unit that drives it, for messages.
    """

    name: str
    unit: str


PROBES = (
    Probe("activations", "quantizer"),
    Probe("scale", "quantizer"),
    Probe("sums", "engine"),
    Probe("residual", "epilogue"),
    Probe("scratch", "epilogue"),
    Probe("state", "epilogue"),
    Probe("logits", "epilogue"),
    Probe("token", "sampler"),
)
"""In the order of the data path."""


class ProbedChip(Component):
    """`Chip` with an event flag and a payload for each probe.

    The register port has names of its own: Verilator writes two underscores in another way.

    Parameters
    ----------
    config : ChipConfig
    """

    def __init__(self, config: ChipConfig) -> None:
        self.chip = chip = Chip(config)
        writes = {
            name: (getattr(chip.epilogue, f"{name}_write"))
            for name in ("residual", "scratch", "state")
        }
        self.taps = {
            "activations": _stream(chip.quantizer.o_activations),
            "scale": _stream(chip.quantizer.o_scale),
            "sums": _stream(chip.regroup.o),
            **{name: (port.enable, Value.cast(port.data)) for name, port in writes.items()},
            "logits": _stream(chip.epilogue.o_logits),
            "token": _stream(chip.sampler.o_token),
        }
        super().__init__(
            {
                "request": In(REQUEST),
                "request_valid": In(1),
                "request_ready": Out(1),
                "answer": Out(32),
                "answer_valid": Out(1),
                "answer_ready": In(1),
                "refused": Out(1),
                "clear": In(1),
                **{f"{name}_event": Out(1) for name in self.taps},
                **{f"{name}_value": Out(len(value)) for name, (_, value) in self.taps.items()},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.chip = self.chip
        i, o = self.chip.i, self.chip.o
        m.d.comb += [i.payload.eq(self.request), i.valid.eq(self.request_valid)]
        m.d.comb += [self.request_ready.eq(i.ready), o.ready.eq(self.answer_ready)]
        m.d.comb += [self.refused.eq(self.chip.refused), self.chip.clear.eq(self.clear)]
        m.d.comb += [self.answer.eq(o.payload), self.answer_valid.eq(o.valid)]
        for name, (event, value) in self.taps.items():
            m.d.comb += getattr(self, f"{name}_event").eq(event)
            m.d.comb += getattr(self, f"{name}_value").eq(value)
        return m


def _stream(port) -> tuple[Value, Value]:
    return transfers(port), Value.cast(port.payload)
