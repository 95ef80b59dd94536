"""Devices by name.

``golden``, ``sim``, ``sim:direct``, ``uart:PORT[@BAUD]``, ``pcie:ADDRESS``, ``replay:FILE``.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from sterna.device.chip import ChipDevice, Progress
from sterna.device.device import Device
from sterna.device.golden import GoldenDevice
from sterna.device.operations import RegisterPort
from sterna.device.recording import Replay
from sterna.errors import InputError
from sterna.model.model import Model

__all__ = ["PORTS", "open_device", "open_port"]

PORTS = "sterna.ports"
"""Entry points by which packages add ways to a chip: `name = module:function`.

The function gets what stands behind the colon of the device's name, and the model that a simulated
board starts with (or None); it returns a `RegisterPort` and what it is, for people.
"""


def open_port(name: str, model: Model | None = None) -> tuple[RegisterPort, str]:
    """Open the way to a chip's registers; return it and what it is."""
    kind, _, argument = name.partition(":")
    if kind in ("golden", "replay"):
        raise InputError(f"{name} is no chip; give sim, sim:direct, uart:PORT or pcie:ADDRESS")
    ports = {point.name: point for point in entry_points(group=PORTS)}
    hint = "; the simulated chip comes with `pip install sterna[sim]`" if kind == "sim" else ""
    if kind not in ports:
        known = ", ".join(sorted({"golden", "replay", *ports}))
        raise InputError(f"device must be one of {known}, not {name!r}{hint}")
    try:
        opener = ports[kind].load()
    except ImportError as error:
        raise InputError(f"device {name!r} cannot be loaded ({error}){hint}") from error
    return opener(argument, model)


def open_device(name: str, model: Model, progress: Progress | None = None) -> Device:
    """Open a device with a model loaded.

    Parameters
    ----------
    name : str
    model : Model
    progress : Progress, optional
        Told of loading.

    Raises
    ------
    InputError
        If there is no such device, with those that there are, or if what it needs is missing.
    """
    kind, colon, argument = name.partition(":")
    if kind == "golden":
        if colon:
            raise InputError(f"device golden takes nothing behind a colon, not {argument!r}")
        return GoldenDevice(model)
    if kind == "replay":
        if not argument:
            raise InputError("a recording is missing; give replay:FILE")
        return Replay(Path(argument), model)
    port, label = open_port(name, model)
    return ChipDevice(port, model, label, progress)
