"""The side of `test_axi4_ram` in the simulator: AXI RAMs of cocotbext-axi on the ports.

They answer late, rest and pause; beside them every clock is looked at for what AXI4 and the master
promise.
"""

import json
import os
import random
from collections import deque
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from sterna.spec.axi4 import BEATS, Axi4

MEMORY = Axi4(**json.loads(os.environ["STERNA_AXI4"]))
RATES = Path(os.environ["STERNA_RATES"])


class Late:
    """Addresses that are taken at once and come out `latency` clocks later."""

    def __init__(self, sink, clock, latency):
        self.sink, self.clock, self.latency = sink, clock, latency
        self.now, self.held = 0, deque()
        sink.queue_occupancy_limit = -1
        cocotb.start_soon(self._count())

    async def _count(self):
        while True:
            await RisingEdge(self.clock)
            self.now += 1
            while not self.sink.empty():
                self.held.append((self.now + self.latency, self.sink.recv_nowait()))

    def clear(self):
        self.held.clear()
        self.sink.clear()

    async def recv(self):
        while not self.held or self.held[0][0] > self.now:
            await RisingEdge(self.clock)
        return self.held.popleft()[1]

    def __getattr__(self, name):
        return getattr(self.sink, name)


class SlowRam(AxiRamRead):
    """An AXI RAM with latency, refresh, pauses and words that can't be read."""

    def __init__(self, dut, port, latency, refresh, pauses, failing):
        bus = AxiReadBus.from_prefix(dut, f"axi__{port}_")
        for name in ("awready", "wready", "bvalid", "bid", "bresp"):
            getattr(dut, f"axi__{port}__{name}").value = 0
        super().__init__(bus, dut.clk, dut.rst, size=MEMORY.port_bytes)
        self.ar_channel = Late(self.ar_channel, dut.clk, latency)
        self.failing = {at * MEMORY.beat_bytes for number, at in failing if number == port}
        rng = random.Random(port)
        self.write(0, rng.randbytes(MEMORY.port_bytes))
        if pauses:
            self.ar_channel.sink.set_pause_generator(rng.random() < pauses for _ in iter(int, 1))
        if pauses or refresh[1]:
            self.r_channel.set_pause_generator(self._rests(port, refresh, pauses, rng))

    @staticmethod
    def _rests(port, refresh, pauses, rng):
        period, length = refresh
        clock = port * period // MEMORY.ports
        while True:
            clock += 1
            yield clock % period < length or rng.random() < pauses

    async def _read(self, address, length):
        if address % self.size in self.failing:
            raise ValueError("this word is said to fail")
        return await super()._read(address, length)


async def watch(dut):
    """Object to a RREADY that falls, and to an address that changes while it waits."""
    waited = [None] * MEMORY.ports
    while True:
        await RisingEdge(dut.clk)
        await ReadOnly()
        for port in range(MEMORY.ports):

            def pin(name, port=port):
                return int(getattr(dut, f"axi__{port}__{name}").value)

            assert pin("rready") == 1, f"port {port}: RREADY fell"
            names = ("araddr", "arlen", "arsize", "arburst", "arid")
            offered = tuple(map(pin, names)) if pin("arvalid") else None
            if waited[port] is not None:
                assert offered == waited[port], f"port {port}: the address changed"
            waited[port] = offered if not pin("arready") else None


async def ask(dut, requests):
    """Offer the requests one after the other."""
    for block, blocks in requests:
        # Fields of `request_layout`, lowest first: write, block, blocks.
        bits = (MEMORY.words - 1).bit_length()
        dut.i__payload.value = block << 1 | blocks << 1 + bits
        dut.i__valid.value = 1
        while True:
            await RisingEdge(dut.clk)
            if int(dut.i__ready.value):
                break
    dut.i__valid.value = 0


async def play(dut, requests, *, ready=1.0, latency=8, refresh=(1, 0), pauses=0.0, failing=()):
    """Read and compare; return words per clock from the first word on."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    for name in ("i__valid", "i__payload", "i_word__valid", "i_word__payload", "o__ready", "clear"):
        getattr(dut, name).value = 0
    rams = [SlowRam(dut, n, latency, refresh, pauses, failing) for n in range(MEMORY.ports)]
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    cocotb.start_soon(watch(dut))
    cocotb.start_soon(ask(dut, requests))
    rng = random.Random(7)
    size = MEMORY.beat_bytes
    places = [(block + n) % MEMORY.words for block, blocks in requests for n in range(blocks)]
    clocks, number, errors = 0, 0, 0
    while number < len(places):
        dut.o__ready.value = taking = int(rng.random() < ready)
        dut.clear.value = clearing = int(rng.random() < 0.02)
        await RisingEdge(dut.clk)
        errors += int(dut.error.value) & clearing
        clocks += number > 0
        if taking and int(dut.o__valid.value):
            at = places[number]
            got = int(dut.o__payload.value)
            for port, ram in enumerate(rams):
                part = got >> port * MEMORY.data_bits & (1 << MEMORY.data_bits) - 1
                if (port, at) not in failing:
                    held = int.from_bytes(ram.read(at * size, size), "little")
                    assert part == held, f"word {number} at {at}, port {port}"
            number += 1
    assert (errors > 0) == bool(failing)
    dut.o__ready.value = 1
    for _ in range(latency + 50):
        await RisingEdge(dut.clk)
        assert not int(dut.o__valid.value), "a word that nobody asked for"
    return (len(places) - 1) / clocks


IN_A_ROW = [(BEATS * n, BEATS) for n in range(100)]


@cocotb.test(timeout_time=10, timeout_unit="ms")
@cocotb.parametrize(latency=[4, 16, 64, 100, 128, 200])
async def latency(dut, latency):
    """At least 95 % where the bursts on their way are as long as the latency, else that part."""
    rate = await play(dut, IN_A_ROW, latency=latency)
    with RATES.open("a") as file:
        file.write(f"latency {latency}: {rate:.1%}\n")
    # From the address register to the room that is free again, and three clocks of the model.
    trip = latency + BEATS + 4 + 3
    enough = MEMORY.outstanding * BEATS / trip
    assert rate >= 0.95 if enough >= 1 else abs(rate - enough) < 0.03, rate


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def refresh(dut):
    """Ports that rest 45 of 975 clocks, in turns: what the memory leaves, but for the turns."""
    rate = await play(dut, IN_A_ROW, latency=60, refresh=(975, 45))
    with RATES.open("a") as file:
        file.write(f"refresh: {rate:.1%}\n")
    assert rate >= 0.9


@cocotb.test(timeout_time=10, timeout_unit="ms")
@cocotb.parametrize(ready=[1.0, 0.5])
async def pauses(dut, ready):
    """Requests of all lengths and places; all channels pause by chance."""
    rng = random.Random(3)
    requests = [(rng.randrange(MEMORY.words), rng.randint(1, 60)) for _ in range(40)]
    await play(dut, requests, ready=ready, latency=30, refresh=(97, 30), pauses=0.3)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def failing(dut):
    """Words that can't be read stop the master until it is told to go on; none is lost."""
    await play(dut, IN_A_ROW[:20], latency=20, pauses=0.1, failing=((0, 37), (1, 150), (1, 319)))
