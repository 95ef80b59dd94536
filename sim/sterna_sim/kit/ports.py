"""The ports of a component: which are streams, what they are called in Verilog, how items pack.

An item is an int for plain payloads, a dict for structs and a sequence for arrays, nested as
declared; enum members and NumPy values are taken too.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from amaranth import Shape, Value
from amaranth.hdl import ShapeCastable
from amaranth.lib import data, stream, wiring

__all__ = ["Codec", "Ports", "StreamPort", "counts_while"]


def counts_while(output: str, outputs: Container[str]) -> str | None:
    """Return the output that says when another one counts, or None if it always does.

    A payload counts while it is valid, a write's address and data while it is enabled.
    """
    for part, says in (("payload", "valid"), ("address", "enable"), ("data", "enable")):
        name = f"{output.removesuffix(part)}{says}"
        if output.endswith(f"__{part}") and name in outputs:
            return name
    return None


class Codec:
    """Packs items of one shape into raw bits and back; refuses what does not fit.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    """

    def __init__(self, shape: Any):
        self.shape = shape
        layout = shape
        while isinstance(layout, ShapeCastable) and not isinstance(layout, data.Layout):
            layout = layout.as_shape()
        self._array = isinstance(layout, data.ArrayLayout)
        self._union = isinstance(layout, data.UnionLayout)
        self._fields: dict[Any, tuple[int, Codec]] | None = None
        if isinstance(layout, data.Layout):
            # One codec serves all elements of an array: they may be many.
            shared = Codec(layout.elem_shape) if isinstance(layout, data.ArrayLayout) else None
            self._fields = {key: (part.offset, shared or Codec(part.shape)) for key, part in layout}
        cast = Shape.cast(layout)
        self.width = cast.width
        self._signed = cast.signed

    def pack(self, item: Any) -> int:
        """Return the raw bits of an item."""
        if self._fields is None:
            return self._pack_number(item)
        if self._array:
            if len(item) != len(self._fields):
                raise ValueError(f"{len(self._fields)} elements are expected, not {len(item)}")
            pairs: Iterable[tuple[Any, Any]] = enumerate(item)
        else:
            if not isinstance(item, Mapping):
                raise TypeError(f"a dict is expected for {self.shape!r}, not {item!r}")
            if set(item) - set(self._fields) or (set(self._fields) - set(item) and not self._union):
                raise ValueError(f"fields {sorted(self._fields)} are expected, not {sorted(item)}")
            pairs = item.items()
        bits = 0
        for key, value in pairs:
            offset, codec = self._fields[key]
            try:
                bits |= codec.pack(value) << offset
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return bits

    def _pack_number(self, item: Any) -> int:
        number = int(item.value if isinstance(item, enum.Enum) else item)
        low = -(1 << (self.width - 1)) if self._signed and self.width else 0
        high = (1 << (self.width - self._signed)) - 1 if self.width else 0
        if not low <= number <= high:
            raise ValueError(f"{number} is not in {low}..{high}")
        return number & ((1 << self.width) - 1)

    def unpack(self, bits: int) -> Any:
        """Return the item that raw bits stand for."""
        if self._fields is None:
            bits &= (1 << self.width) - 1
            negative = self._signed and bits >> (self.width - 1)
            return bits - (1 << self.width) if negative else bits
        items = {key: codec.unpack(bits >> offset) for key, (offset, codec) in self._fields.items()}
        return list(items.values()) if self._array else items


@dataclass
class StreamPort:
    """One stream of a component: its interface and the codec of its items."""

    interface: Any
    codec: Codec


@dataclass
class Ports:
    """The ports of a component under the names that they have in Verilog.

    Names of nested ports are joined with two underscores: ``mem__addr``, ``lanes__0``.
    """

    inputs: dict[str, StreamPort] = field(default_factory=dict)
    outputs: dict[str, StreamPort] = field(default_factory=dict)
    plain: dict[str, Codec] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    driven: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, component: wiring.Component) -> Ports:
        """Find the ports of a component."""
        ports = cls()
        for name, member, value in _members((), component.signature, component):
            ports._add(name, member, value)
        return ports

    def _add(self, name: str, member: wiring.Member, value: Any) -> None:
        if member.is_port:
            self._signal(name, value, driven=member.flow == wiring.In)
            self.plain[name] = Codec(member.shape)
            return
        if value.signature.always_ready or value.signature.always_valid:
            raise TypeError(f"{name}: constant valid or ready can't be a port of a whole unit")
        payload = value.signature.members["payload"]
        is_input = payload.flow == wiring.In
        port = StreamPort(value, Codec(payload.shape))
        (self.inputs if is_input else self.outputs)[name] = port
        self._signal(f"{name}__payload", value.payload, driven=is_input)
        self._signal(f"{name}__valid", value.valid, driven=is_input)
        self._signal(f"{name}__ready", value.ready, driven=not is_input)

    def _signal(self, name: str, value: Any, *, driven: bool) -> None:
        self.signals[name] = Value.cast(value)
        if driven:
            self.driven.add(name)


def _members(path: tuple, signature: Any, thing: Any) -> Iterator[tuple[str, wiring.Member, Any]]:
    """Yield name, member and object of each plain port and each stream."""
    for name, member in signature.members.items():
        for index, value in _elements(getattr(thing, name), member.dimensions):
            full = (*path, name, *index)
            # A flipped stream signature counts as an instance of stream.Signature.
            if member.is_signature and not isinstance(value.signature, stream.Signature):
                yield from _members(full, value.signature, value)
            else:
                yield "__".join(full), member, value


def _elements(value: Any, dimensions: tuple) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not dimensions:
        yield (), value
        return
    for number, element in enumerate(value):
        for index, leaf in _elements(element, dimensions[1:]):
            yield (str(number), *index), leaf
