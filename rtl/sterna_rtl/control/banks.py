"""SRAM scheduler: owns the banks and side RAMs and says whose address each port follows."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In

from sterna.spec.chip import ChipConfig
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.memory import ReadPort, WritePort

__all__ = ["Banks"]


class Banks(Component):
    """The RAMs that units share.

    | RAM | written by | read by |
    |---|---|---|
    | residual | epilogue | epilogue, quantizer |
    | scratch | epilogue | epilogue, quantizer |
    | state | epilogue; loader while the chip is idle | the same |
    | vector_a | loader | embedding, epilogue (lower bounds), quantizer (first norm weights) |
    | vector_b | loader | quantizer (folded norm weights) |

    Residual and scratch have a read port for each reader. State and side RAM A have one: the loader
    gets the state while `host` is up; side RAM A follows the embedding while `embedding_reads` is
    up, else the epilogue while `epilogue_reads` is up, else the quantizer. The three never need it
    in the same clock: the embedding reads when nothing else is in flight, and the epilogue reads
    lower bounds (STATE) only after the statistics that began with the segment before STATE's
    predecessor have ended.

    Parameters
    ----------
    config : ChipConfig
    """

    def __init__(self, config: ChipConfig) -> None:
        layouts = Layouts(config)
        self.rams: dict[str, tuple[int, ShapeLike]] = {
            "residual": (config.residual_words, layouts.residual),
            "scratch": (config.scratch_words, layouts.scratch),
            "state": (config.state_words, layouts.state),
            "vector_a": (config.vector_a_words, layouts.vector),
            "vector_b": (config.vector_b_words, layouts.vector),
        }
        read = {name: In(ReadPort(*ram)) for name, ram in self.rams.items()}
        write = {name: In(WritePort(*ram)) for name, ram in self.rams.items()}
        super().__init__(
            {
                "epilogue_residual_read": read["residual"],
                "epilogue_residual_write": write["residual"],
                "epilogue_scratch_read": read["scratch"],
                "epilogue_scratch_write": write["scratch"],
                "epilogue_state_read": read["state"],
                "epilogue_state_write": write["state"],
                "epilogue_vector_read": read["vector_a"],
                "quantizer_residual_read": read["residual"],
                "quantizer_scratch_read": read["scratch"],
                "quantizer_vector_a_read": read["vector_a"],
                "quantizer_vector_b_read": read["vector_b"],
                "embedding_vector_read": read["vector_a"],
                "loader_state_read": read["state"],
                "loader_state": write["state"],
                "loader_vector_a": write["vector_a"],
                "loader_vector_b": write["vector_b"],
                "host": In(1),
                "embedding_reads": In(1),
                "epilogue_reads": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        rams = {}
        for name, (depth, shape) in self.rams.items():
            rams[name] = Memory(shape=shape, depth=max(depth, 2), init=[])
            m.submodules[name] = rams[name]

        def writes(name: str, *ports) -> None:
            port = rams[name].write_port()
            address, data, enable = ports[-1].address, ports[-1].data, ports[-1].enable
            for other in ports[:-1]:
                address = Mux(other.enable, other.address, address)
                data = Mux(other.enable, Value.cast(other.data), Value.cast(data))
                enable = enable | other.enable
            m.d.comb += [port.addr.eq(address), Value.cast(port.data).eq(data), port.en.eq(enable)]

        def reads(name: str, default, *others) -> None:
            """One read port that follows `default` unless one of the others' conditions holds."""
            port = rams[name].read_port()
            address = default.address
            m.d.comb += default.data.eq(port.data)
            for condition, other in others:
                address = Mux(condition, other.address, address)
                m.d.comb += other.data.eq(port.data)
            m.d.comb += port.addr.eq(address)

        writes("residual", self.epilogue_residual_write)
        writes("scratch", self.epilogue_scratch_write)
        writes("state", self.epilogue_state_write, self.loader_state)
        writes("vector_a", self.loader_vector_a)
        writes("vector_b", self.loader_vector_b)
        for name in ("residual", "scratch"):
            reads(name, getattr(self, f"epilogue_{name}_read"))
            reads(name, getattr(self, f"quantizer_{name}_read"))
        reads("state", self.epilogue_state_read, (self.host, self.loader_state_read))
        reads(
            "vector_a",
            self.quantizer_vector_a_read,
            (self.epilogue_reads, self.epilogue_vector_read),
            (self.embedding_reads, self.embedding_vector_read),
        )
        reads("vector_b", self.quantizer_vector_b_read)
        return m
