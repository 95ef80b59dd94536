"""The units that are mutated: which benches are played on each, and where its mutants are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from sterna_sim.kit import UnitBench
from sterna_sim.proof.score import Score, score
from tests.arith import test_curve as curve
from tests.arith import test_gumbel as gumbel
from tests.arith import test_largest as largest
from tests.arith import test_normalise as normalise
from tests.arith import test_rounding as rounding
from tests.arith import test_sigmoid as sigmoid
from tests.compact import bench_arithmetic as compact_arithmetic
from tests.compact import test_checksum as compact_checksum
from tests.compact import test_compute as compact_compute
from tests.compact import test_control as compact_control
from tests.compact import test_core as compact_core
from tests.compact import test_lanes as compact_lanes
from tests.compact import test_noise as compact_noise
from tests.compact import test_parts as compact_parts
from tests.compact import test_processor as compact_processor
from tests.compact import test_tape as compact_tape
from tests.control import test_banks as banks
from tests.control import test_checker as checker
from tests.control import test_counters as counters
from tests.control import test_generator as generator
from tests.control import test_loader as loader
from tests.control import test_logit_tap as logit_tap
from tests.control import test_registers as registers
from tests.control import test_sequencer as sequencer
from tests.control import test_sequencer_drawn as sequencer_drawn
from tests.datapath import bench_epilogue as epilogue
from tests.datapath import bench_quantizer as quantizer
from tests.datapath import test_best as best
from tests.datapath import test_choice as choice
from tests.datapath import test_embedding as embedding
from tests.datapath import test_embedding_fetch as embedding_fetch
from tests.datapath import test_engine as engine
from tests.datapath import test_log_probability as log_probability
from tests.datapath import test_noise as noise
from tests.datapath import test_sampler as sampler
from tests.datapath import test_scale as scale
from tests.datapath import test_statistics as statistics
from tests.lib import test_long_queue as long_queue
from tests.lib import test_queue as queue
from tests.lib import test_regroup as regroup
from tests.lib import test_skid as skid
from tests.link import test_axi_lite as axi_lite
from tests.link import test_check as check
from tests.link import test_cobs as cobs
from tests.link import test_executor as executor
from tests.link import test_frames as frames
from tests.link import test_sender as sender
from tests.link import test_uart as uart
from tests.link import test_window as window
from tests.memory import test_arbiter as arbiter
from tests.memory import test_axi4_memory as axi4_memory
from tests.memory import test_axi4_reader as axi4_reader
from tests.memory import test_axi4_writer as axi4_writer
from tests.memory import test_block_port as block_port
from tests.memory import test_bursts as bursts
from tests.memory import test_sdram as sdram
from tests.memory import test_visits as visits
from tests.pcie import test_access as access
from tests.pcie import test_dma_reader as dma_reader
from tests.pcie import test_dma_tape as dma_tape
from tests.pcie import test_dma_writer as dma_writer
from tests.pcie import test_packets as packets
from tests.pcie import test_pages as pages
from tests.pcie import test_results as results
from tests.pcie import test_window as pcie_window
from tests.tape import test_fetch as fetch
from tests.tape import test_reader as reader
from tests.tape import test_ring as ring
from tests.tape import test_unpack as unpack
from tests.tape import test_walk as walk

__all__ = ["UNITS", "Unit"]


@dataclass(frozen=True)
class Unit:
    """What is mutated.

    Attributes
    ----------
    bench : type
        Its bench, played on its first configuration for planted bugs.
    inside : str
        The submodule that is the unit where it stands in a bench's wrapper.
    without : tuple of str
        Submodules that are units of this list themselves, and judged there.
    others : tuple of type
        Further benches of it.
    only : str
        A configuration that shows more than the first.
    large : bool
        `make test-all` draws more of its mutants.
    """

    bench: type[UnitBench]
    inside: str = ""
    without: tuple[str, ...] = ()
    others: tuple[type[UnitBench], ...] = ()
    only: str = ""
    large: bool = False

    @property
    def name(self) -> str:
        return self.bench.name

    @property
    def config(self) -> str:
        """The configuration that is mutated."""
        return self.only or next(iter(self.bench.bug_configs or self.bench.configs))

    def score(self, count: int, seed: int) -> Score:
        """Draw so many mutants and play the benches on each."""
        others = [bench() for bench in self.others]
        return score(self.bench(), self.config, count, seed, self.inside, self.without, others)


UNITS = (
    # Link and library.
    Unit(cobs.DecoderBench),
    Unit(cobs.WriterBench, "writer"),
    Unit(check.CrcAppenderBench),
    Unit(uart.ReceiverBench, "receiver", others=(uart.LongBitsBench,)),
    Unit(frames.FramesBench, "receiver"),
    Unit(window.WindowBench, "window", others=(window.ChanceBench,)),
    Unit(executor.ExecutorBench, "executor", others=(executor.DrawnBench,)),
    Unit(sender.SenderBench, "sender", others=(sender.DrawnBench,)),
    Unit(axi_lite.AxiLiteBench, "slave"),
    Unit(queue.QueueBench),
    Unit(queue.WideQueueBench),
    Unit(long_queue.LongQueueBench),
    Unit(skid.SkidBench),
    Unit(regroup.RegroupBench),
    # Arithmetic.
    Unit(curve.CurveBench, "unit"),
    Unit(normalise.NormaliseBench, others=(normalise.ManyBench,)),
    Unit(rounding.RoundShiftBench, "unit"),
    Unit(largest.LargestBench, "unit"),
    Unit(gumbel.GumbelBench, "unit"),
    Unit(sigmoid.SigmoidBench, "unit"),
    # From the tape to the lanes.
    Unit(unpack.UnpackerBench),
    Unit(walk.WalkBench, others=(walk.LongBench, walk.FarBench)),
    Unit(reader.ReaderBench, "reader", ("walk",)),
    Unit(ring.RingBench, "ring", ("walk",)),
    Unit(
        fetch.FetchBench,
        "fetch",
        ("words",),
        others=(fetch.LongBench, fetch.NoTapeBench),
        only="80 bits",
    ),
    Unit(
        sequencer.SequencerBench,
        "unit",
        others=(sequencer_drawn.DrawnBench,),
        large=True,
    ),
    Unit(engine.EngineBench, others=(engine.LongBench,), large=True),
    # Vectors.
    Unit(
        epilogue.EpilogueBench,
        "unit",
        ("rounding", "residual", "sigmoid"),
        (epilogue.ManyBench,),
        large=True,
    ),
    Unit(
        quantizer.QuantizerBench,
        "unit",
        ("statistics", "scale", "reciprocal", "normalise"),
        (quantizer.ManyBench,),
        large=True,
    ),
    Unit(statistics.StatisticsBench, "unit", others=(statistics.ManyBench,), large=True),
    Unit(scale.ScaleBench, "", ("shifter", "inverse_root"), (scale.ManyBench,), large=True),
    Unit(embedding.EmbeddingBench, "unit", others=(embedding.ManyBench,)),
    # Logits.
    Unit(
        sampler.SamplerBench,
        "unit",
        ("noise", "best", "choice", "largest"),
        (sampler.ManyBench,),
        large=True,
    ),
    Unit(noise.NoiseBench, "unit", ("gumbel_[0-9]", "queue"), (noise.ManyBench,)),
    Unit(best.BestBench, "unit", ("largest",), (best.ManyBench,)),
    Unit(choice.ChoiceBench),
    Unit(log_probability.LogProbabilityBench, "", ("results",), (log_probability.ManyBench,)),
    Unit(logit_tap.LogitTapBench),
    # Control.
    Unit(loader.LoaderBench, "loader"),
    Unit(checker.CheckerBench, "checker"),
    Unit(counters.CountersBench, "unit", only="E-8-7-bits"),
    Unit(registers.RegistersBench, "unit", others=(registers.NoRoomBench,)),
    Unit(banks.BanksBench, "banks"),
    Unit(generator.GeneratorBench, "unit", ("prompt", "generated"), (generator.ManyBench,)),
    Unit(embedding_fetch.FetchBench, "fetch", ("queue", "out"), (embedding_fetch.FarBench,)),
    # Memories beside the chip.
    Unit(sdram.SdramBench),
    Unit(arbiter.ArbiterBench, "arbiter", ("reads",), (arbiter.LongBench,)),
    Unit(block_port.PortBench, "port"),
    Unit(axi4_reader.ReaderBench, "reader"),
    Unit(axi4_memory.MemoryBench, "", ("reader_[0-9]", "writer_[0-9]", "bursts")),
    Unit(visits.VisitsBench),
    Unit(axi4_writer.WriterBench),
    Unit(bursts.BurstsBench, others=(bursts.LongBench,), only="4096 words"),
    # PCIe.
    Unit(packets.PacketsBench, "unit"),
    Unit(results.ResultBench, "unit"),
    Unit(access.AccessBench, "access", ("window",), (access.ManyBench,)),
    Unit(pcie_window.WindowBench, "window", others=(pcie_window.ManyBench,)),
    Unit(pages.PagesBench, "unit", others=(pages.ManyBench,)),
    Unit(dma_reader.ReaderBench, "reader", others=(dma_reader.ManyBench,)),
    Unit(dma_writer.WriterBench, "writer"),
    Unit(
        dma_tape.TapeBench,
        "unit",
        ("pages", "reader", "fetch", "results", "writer", "packets"),
    ),
    # Of the compact chip.
    Unit(compact_parts.MultiplierBench, "unit"),
    Unit(compact_parts.FinishBench, "unit"),
    Unit(compact_parts.SigmoidBench, "unit"),
    Unit(compact_parts.SumsBench),
    Unit(compact_lanes.LanesBench, "unit"),
    Unit(compact_noise.NoiseBench, "unit"),
    Unit(compact_tape.TapeBench, "unit", only="64 words"),
    Unit(
        compact_arithmetic.ArithmeticBench,
        without=("multiplier", "finish", "sigmoid", "total", "largest"),
    ),
    Unit(compact_core.CoreBench, "unit", ("arithmetic",)),
    Unit(compact_compute.ComputeBench, "unit", ("core", "lanes", "tape", "noise")),
    Unit(compact_processor.ProcessorBench, "unit"),
    Unit(compact_checksum.ChecksumBench, "unit"),
    Unit(compact_control.ControlBench, "unit", without=("processor", "checksum", "compute")),
)
"""All units."""
