"""Helpers for `amaranth.lib.stream`: typed connections and the two conditions that units use.

The contract of every stream: an item passes on a clock with ``valid & ready``; once ``valid`` is
up, neither it nor the payload may change until then; ``valid`` must not wait for ``ready``.
"""

from __future__ import annotations

from typing import Any

from amaranth import *
from amaranth.hdl import ShapeCastable
from amaranth.lib.wiring import ConnectionError

__all__ = ["can_load", "connect_stream", "payload_shape", "transfers", "waits"]


def payload_shape(interface: Any) -> Any:
    """Return the shape that a stream interface declares for its payload.

    Parameters
    ----------
    interface : stream.Interface
        A stream port of a component, seen from outside or from inside.

    Returns
    -------
    ShapeLike
        As declared: a layout, a struct or enum class, a `Shape`, an int or a range.
    """
    members = getattr(getattr(interface, "signature", None), "members", {})
    if {"payload", "valid", "ready"} - set(members):
        raise TypeError(f"a stream interface is expected, not {interface!r}")
    return members["payload"].shape


def _same_shape(a: Any, b: Any) -> bool:
    if isinstance(a, ShapeCastable) or isinstance(b, ShapeCastable):
        # A struct class equals its own layout; a layout never equals a plain width.
        return bool(a == b)
    return Shape.cast(a) == Shape.cast(b)


def connect_stream(m: Module, producer: Any, consumer: Any) -> None:
    """Connect two streams whose declared payload shapes are the same.

    `amaranth.lib.wiring.connect` of Amaranth 0.5 compares widths only: it joins ``{a: 4, b: 4}``
    with ``{x: 8}`` and ``unsigned(8)`` with ``signed(8)``. This function refuses both. It also
    takes the component's own ports as they are, without `flipped`.

    Parameters
    ----------
    m : Module
        Module that gets the connection.
    producer : stream.Interface
        Where items come from: a submodule's output or the component's own input.
    consumer : stream.Interface
        Where items go: a submodule's input or the component's own output.

    Raises
    ------
    TypeError
        If the payload shapes differ or one side is not a stream.
    ConnectionError
        If one side can't stall and the other may have to.
    """
    given, wanted = payload_shape(producer), payload_shape(consumer)
    if not _same_shape(given, wanted):
        raise TypeError(f"cannot connect a stream of {given!r} to a stream of {wanted!r}")
    if producer.signature.always_ready and not consumer.signature.always_ready:
        raise ConnectionError("the producer is always_ready and cannot wait for this consumer")
    if consumer.signature.always_valid and not producer.signature.always_valid:
        raise ConnectionError("the consumer is always_valid and this producer may have nothing")
    m.d.comb += consumer.payload.eq(producer.payload)
    if not consumer.signature.always_valid:
        m.d.comb += consumer.valid.eq(producer.valid)
    if not producer.signature.always_ready:
        m.d.comb += producer.ready.eq(consumer.ready)


def transfers(interface: Any) -> Value:
    """Return whether an item passes on this clock."""
    return interface.valid & interface.ready


def waits(interface: Any) -> Value:
    """Return whether an item is there but does not pass."""
    return interface.valid & ~interface.ready


def can_load(output: Any) -> Value:
    """Return whether a registered output is free or becomes free on this clock."""
    return ~output.valid | output.ready
