"""ECP5: primitives behind units that are described by their behaviour elsewhere."""

from __future__ import annotations

from amaranth import *

__all__ = ["ECP5", "global_net", "is_ecp5"]

ECP5 = "ecp5"
"""Platform to elaborate for where there is no board."""


def is_ecp5(platform) -> bool:
    """Whether a unit is being elaborated for an ECP5."""
    return platform == ECP5 or getattr(platform, "device", "").startswith("LFE5U")


def global_net(m: Module, platform, name: str, value: Value) -> Value:
    """Return `value` for thousands of flip-flops: on an ECP5 by one of its clock networks.

    Otherwise the reset alone would take a fifth of the wires that control inputs can be reached by.
    """
    if not is_ecp5(platform):
        return value
    net = Signal(name=name)
    m.submodules[f"{name}_buffer"] = Instance("DCCA", i_CLKI=value, i_CE=1, o_CLKO=net)
    return net
