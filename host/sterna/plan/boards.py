"""Boards that a chip can be planned for: what they have, with the source of each number."""

from __future__ import annotations

from dataclasses import dataclass

from sterna.spec.sdram import PARTS, WORD_BITS

__all__ = ["BOARDS", "Board", "Outside"]


@dataclass(frozen=True, slots=True)
class Outside:
    """Memory beside the FPGA.

    Attributes
    ----------
    bytes : int
    bytes_per_second : float
        Peak.
    refresh : float
        Share of the time in which it gives nothing: (tRP + tRFC) / tREFI.
    latency : float
        Seconds from an address to its data.
    part : str
        Of an SDR SDRAM that chips drive themselves: its name in `sterna.spec.sdram.PARTS`. It runs
        at the chip's clock, so that its rate and its refresh follow from the part.
    """

    bytes: int
    bytes_per_second: float
    refresh: float
    latency: float
    part: str = ""

    def bytes_per_clock(self, clock_hz: float) -> float:
        """Bytes that it gives per clock of the chip in the long run."""
        if not self.part:
            return self.bytes_per_second / clock_hz * (1 - self.refresh)
        timing = PARTS[self.part].at(round(clock_hz))
        # After a refresh the row is opened again.
        return WORD_BITS / 8 * (1 - (timing.rp + timing.rfc + timing.rcd) / timing.refresh)


@dataclass(frozen=True, slots=True)
class Board:
    """What a board has for a chip.

    Attributes
    ----------
    luts : int
        Tables. The model counts LUT4: where a table has six inputs it is an upper bound.
    usable : float
        Share of them that may be filled; more is not likely to be routed.
    multipliers : int
        18 x 18 or larger.
    block_rams : int
        Of 18 Kbit.
    clock_hz : float
        Assumed clock of the chip; nothing here predicts it.
    memory : Outside or None
    """

    luts: int
    usable: float
    multipliers: int
    block_rams: int
    clock_hz: float
    memory: Outside | None = None

    @property
    def usable_luts(self) -> int:
        """LUTs that may be filled."""
        return int(self.luts * self.usable)


BOARDS = {
    # Lattice FPGA-DS-02012: LFE5U-85 has 84 K LUTs (83 640 TRELLIS_COMB in nextpnr), 208 block RAMs
    # and 156 multipliers. Half of the LUTs: 47 % are what has been routed (docs/architecture.md,
    # "Place and route"). Clock: that of `sterna build`. SDRAM of 32 MB, 16 bits
    # wide, run at the chip's clock, from the worst of the parts that such boards carry.
    "ulx3s-85f": Board(
        83_640, 0.5, 156, 208, 50e6, Outside(32 << 20, 2 * 50e6, 0, 200e-9, "ULX3S")
    ),
    # Xilinx DS962: Alveo U250 has 1 728 K LUT6, 12 288 DSP48, 2 688 block RAMs of 36 Kbit, 64 GB in
    # 4 x DDR4-2400 (77 GB/s). 256 bytes a clock at 300 MHz, the clock that ternip reached on it.
    # tRP 14 ns, tRFC 350 ns, tREFI 7.8 us (8 Gbit chips).
    "u250": Board(
        1_728_000, 0.5, 12_288, 5_376, 300e6, Outside(64 << 30, 76.8e9, 0.0467, 333e-9)
    ),
    # Xilinx DS963: Alveo U280 has 1 304 K LUT6, 9 024 DSP48, 2 016 block RAMs of 36 Kbit and 8 GB
    # of HBM2 with 32 ports of 256 bits at 450 MHz (460 GB/s). Refresh (tRFC 260 ns, tREFI 3.9 us)
    # and latency are assumed.
    "u280": Board(
        1_304_000, 0.5, 9_024, 4_032, 300e6, Outside(8 << 30, 460.8e9, 0.07, 400e-9)
    ),
}  # fmt: skip
"""By name. Figures of FPGA and memory are their makers'; no chip of ours has run on the cards."""
