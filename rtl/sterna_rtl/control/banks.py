"""SRAM scheduler: owns the banks and side RAMs and says whose address each port follows."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.wiring import Component, In

from sterna.spec.chip import ChipConfig
from sterna_rtl.control.bank import Bank
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.banked_ram import BankedRam
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.ram import Ram

__all__ = ["Banks"]


class Banks(Component):
    """The RAMs that units share.

    | RAM | written by | read by |
    |---|---|---|
    | residual | epilogue | epilogue, quantizer |
    | scratch | epilogue | epilogue, quantizer |
    | state | epilogue; loader while the chip is idle | the same |
    | vector_a | loader | embedding, epilogue (lower bounds), quantizer (first norms), loader |
    | vector_b | loader | quantizer (folded norm weights), loader |

    Residual, scratch and state hold the words of slot after slot. Residual and scratch have a read
    port for each reader, by a copy of the RAM. The others have one: the loader gets them while
    `host` is up. In a pass side RAM A follows the embedding while `embedding_reads` is up, else the
    epilogue while `epilogue_reads` is up, else the quantizer. The three never need it in the same
    clock: the embedding waits while results come, and the epilogue reads lower bounds (STATE) only
    after the statistics that began with the segment before STATE's predecessor have ended.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    <unit>_<ram>_read : ReadPort
    <unit>_<ram>_write, loader_<ram> : WritePort
    host : Signal, in
        The chip is idle: the loader may read state and side RAMs.
    embedding_reads, epilogue_reads : Signal, in
        Side RAM A is theirs on this clock.

    Latency
        1 clock from each address to its data, `side_clocks` for the side RAMs, which are deep and
        read from far away: 2, the second for the block RAM's output register, or those of a
        `BankedRam`. The conditions count on the clock of the address. A word that was written on
        the clock before must not be used: that is when it reaches its RAM.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.deep = config.side_clocks == BankedRam.latency
        layouts = Layouts(config)
        self.rams: dict[str, tuple[int, ShapeLike]] = {
            "residual": (config.slots * config.residual_words, layouts.residual),
            "scratch": (config.slots * config.scratch_words, layouts.scratch),
            "state": (config.slots * config.state_words, layouts.state),
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
                "loader_vector_a_read": read["vector_a"],
                "loader_vector_b_read": read["vector_b"],
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
        for name in ("residual", "scratch"):
            for reader in ("epilogue", "quantizer"):
                ram = self._ram(m, name, f"{reader}_{name}")
                self._writes(m, ram, getattr(self, f"epilogue_{name}_write"))
                self._reads(m, ram, getattr(self, f"{reader}_{name}_read"))

        state = self._ram(m, "state")
        self._writes(m, state, self.epilogue_state_write, self.loader_state)
        self._reads(m, state, self.epilogue_state_read, (self.host, self.loader_state_read))

        vector_a = self._ram(m, "vector_a", side=True)
        self._writes(m, vector_a, self.loader_vector_a)
        self._reads(
            m,
            vector_a,
            self.quantizer_vector_a_read,
            (self.epilogue_reads, self.epilogue_vector_read),
            (self.embedding_reads, self.embedding_vector_read),
            (self.host, self.loader_vector_a_read),
            late=not self.deep,
        )

        vector_b = self._ram(m, "vector_b", side=True)
        self._writes(m, vector_b, self.loader_vector_b)
        self._reads(
            m,
            vector_b,
            self.quantizer_vector_b_read,
            (self.host, self.loader_vector_b_read),
            late=not self.deep,
        )
        return m

    def _ram(self, m: Module, name: str, submodule: str | None = None, side: bool = False) -> Bank:
        form = BankedRam if side and self.deep else Ram
        m.submodules[submodule or name] = ram = Bank(*self.rams[name], form)
        return ram

    def _writes(self, m: Module, ram: Bank, default, *others) -> None:
        """Let the RAM follow `default` unless one of the others writes."""
        address, data, enable = default.address, Value.cast(default.data), default.enable
        for other in others:
            address = Mux(other.enable, other.address, address)
            data = Mux(other.enable, Value.cast(other.data), data)
            enable = enable | other.enable
        m.d.comb += [
            ram.write.address.eq(address),
            Value.cast(ram.write.data).eq(data),
            ram.write.enable.eq(enable),
        ]

    def _reads(self, m: Module, ram: Bank, default, *others, late: bool = False) -> None:
        """Let the RAM follow `default` unless one of the others' conditions holds, the last first.

        All of them see the data; if they may be `late`, a clock later.
        """
        address, data = default.address, Value.cast(ram.read.data)
        if late:
            register = Signal.like(data, name="late_data", reset_less=True)
            m.d.sync += register.eq(data)
            data = register
        for condition, other in others:
            address = Mux(condition, other.address, address)
        for reader in (default, *(other for _, other in others)):
            m.d.comb += Value.cast(reader.data).eq(data)
        m.d.comb += ram.read.address.eq(address)
