// Drives the verilated chip: register requests, a UART at its pins, clocks, and a log of probe
// events.
//
// Built once per chip configuration. The macro PROBES, generated beside this file, lists the
// probes as PROBE(index, name, bits).

#include "Vchip.h"
#include "verilated.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "probes.inc"
#include "uart.h"
#ifdef AXI_PORTS
#include "axi.h"
#endif

namespace {

#ifdef COMING
// The memory at the pins. It is called on clocks that are not idle, and every so often, with the
// levels and the word on the bus (-1: none) when the clock rises. Then `coming` says what it drives
// until the next rises, -1 where it does not.
struct Memory {
  void (*call)(uint32_t idle, uint32_t levels, int32_t data) = nullptr;
  const int32_t *coming = nullptr;
  uint32_t idle = 0, garbage = 1;

  uint32_t rise(uint32_t levels, int32_t data) {
    if ((levels & IDLE_MASK) != IDLE || data >= 0 || idle == 255) {
      call(idle, levels, data);
      idle = 0;
    } else {
      idle++;
    }
    if (idle < COMING && coming[idle] >= 0) return coming[idle];
    garbage = garbage * 1664525 + 1013904223;
    return garbage >> 16;
  }
};
#endif

struct Chip {
  VerilatedContext context;
  Vchip top{&context};
  uint64_t clocks = 0;
  bool recording = false;
  Uart uart;
#ifdef COMING
  Memory memory;
#endif
#ifdef AXI_PORTS
  AxiMemory axi;
#endif
#ifdef TAPE_BITS
  // A memory beside the chip: a word of the tape every `tape_period` clocks, round and round.
  std::vector<uint32_t> tape;
  uint64_t tape_place = 0, tape_period = 1, tape_wait = 0;
#endif
  std::vector<uint32_t> events[PROBE_COUNT];
};

template <typename T> uint32_t piece(const T &value, int place) {
  if constexpr (VlIsVlWide<T>::value) {
    return value[place];
  } else {
    return static_cast<uint64_t>(value) >> 32 * place;
  }
}

template <typename T> void append(std::vector<uint32_t> &log, const T &value, int bits) {
  if constexpr (VlIsVlWide<T>::value) {
    for (int i = 0; i < (bits + 31) / 32; i++) log.push_back(value[i]);
  } else {
    log.push_back(static_cast<uint32_t>(value));
    if (bits > 32) log.push_back(static_cast<uint32_t>(static_cast<uint64_t>(value) >> 32));
  }
}

#if defined(TAPE_BITS) || defined(AXI_PORTS)
template <typename T> void assign(T &port, const uint32_t *pieces, int bits) {
  if constexpr (VlIsVlWide<T>::value) {
    for (int i = 0; i < (bits + 31) / 32; i++) port[i] = pieces[i];
  } else {
    port = pieces[0];
    if constexpr (sizeof(T) > 4) port |= static_cast<uint64_t>(pieces[1]) << 32;
  }
}
#endif

#ifdef AXI_PORTS
// What the master drives when the clock rises, and what the memory drives until it rises again.
void axi_take(Chip *chip) {
  Vchip &top = chip->top;
  AxiMemory &axi = chip->axi;
  uint32_t pieces[AXI_PIECES];
#define PORT(n) \
  axi.ports[n].read(axi, n, {top.axi_##n##_arvalid != 0, top.axi_##n##_araddr, \
    top.axi_##n##_arlen, top.axi_##n##_arsize, top.axi_##n##_arburst, top.axi_##n##_arid}, \
    top.axi_##n##_rready); \
  axi.ports[n].begin_write(axi, n, {top.axi_##n##_awvalid != 0, top.axi_##n##_awaddr, \
    top.axi_##n##_awlen, top.axi_##n##_awsize, top.axi_##n##_awburst, top.axi_##n##_awid}, \
    top.axi_##n##_bready); \
  if (top.axi_##n##_wvalid) { \
    for (unsigned i = 0; i < AXI_PIECES; i++) pieces[i] = piece(top.axi_##n##_wdata, i); \
    axi.ports[n].beat(axi, n, top.axi_##n##_wlast, top.axi_##n##_wstrb, pieces); \
  }
  AXI_PORTS
#undef PORT
  axi.clock++;
}

void axi_give(Chip *chip) {
  Vchip &top = chip->top;
  AxiMemory &axi = chip->axi;
#define PORT(n) { \
    AxiPort &port = axi.ports[n]; \
    port.drive(axi, n); \
    top.axi_##n##_arready = port.arready; \
    top.axi_##n##_rvalid = port.rvalid; \
    top.axi_##n##_rlast = port.rlast; \
    top.axi_##n##_rresp = port.rvalid && !port.rfails ? 0 : 2; \
    if (port.rvalid) assign(top.axi_##n##_rdata, axi.place(n, port.word), AXI_BITS); \
    top.axi_##n##_awready = port.awready; \
    top.axi_##n##_wready = port.wready; \
    top.axi_##n##_bvalid = port.bvalid; \
    top.axi_##n##_bresp = port.bvalid && !port.bfails ? 0 : 2; \
  }
  AXI_PORTS
#undef PORT
}
#endif

#ifdef TAPE_BITS
void give_word(Chip *chip) {
  Vchip &top = chip->top;
  if (chip->tape_wait) chip->tape_wait--;
  top.tape_valid = !chip->tape.empty() && chip->tape_wait == 0;
  if (top.tape_valid) assign(top.tape_word, &chip->tape[chip->tape_place], TAPE_BITS);
}

void take_word(Chip *chip) {
  Vchip &top = chip->top;
  if (top.tape_valid && top.tape_ready) {
    chip->tape_place += (TAPE_BITS + 31) / 32;
    if (chip->tape_place == chip->tape.size()) chip->tape_place = 0;
    chip->tape_wait = chip->tape_period;
  }
  if (top.tape_restart) chip->tape_place = 0;
}
#endif

// One clock. Inputs set before are seen by this rising edge.
void clock(Chip *chip) {
  Vchip &top = chip->top;
  top.clk = 0;
  top.rx = chip->uart.send();
#ifdef TAPE_BITS
  give_word(chip);
#endif
  top.eval();
#ifdef TAPE_BITS
  take_word(chip);
#endif
  chip->uart.receive(top.tx);
  if (chip->recording) {
#define PROBE(index, name, bits) \
  if (top.name##_event) append(chip->events[index], top.name##_value, bits);
    PROBES
#undef PROBE
  }
#ifdef COMING
  // What it gives is for the next clock: nothing that depends on it is evaluated with this edge.
  uint32_t word = 0;
  if (chip->memory.call) {
    word = chip->memory.rise(top.memory_levels, top.memory_drives ? top.memory_data : -1);
  }
#endif
#ifdef AXI_PORTS
  if (top.rst) {
    chip->axi.forget();  // the reset is the memory's too
  } else {
    axi_take(chip);
  }
#endif
  top.clk = 1;
  top.eval();
#ifdef AXI_PORTS
  axi_give(chip);
#endif
#ifdef COMING
  top.memory_word = word;
#endif
  chip->clocks++;
}

}  // namespace

extern "C" {

// What a power-up or a reset button does. Meanwhile the pins to a memory say nothing.
void chip_reset(Chip *chip) {
#ifdef COMING
  chip->memory = {};
#endif
  chip->top.rst = 1;
  for (int i = 0; i < 4; i++) clock(chip);
  chip->top.rst = 0;
}

Chip *chip_new() {
  auto chip = new Chip;
  chip->top.direct = 1;
  chip_reset(chip);
  chip->clocks = 0;
  return chip;
}

void chip_delete(Chip *chip) { delete chip; }

uint64_t chip_clocks(Chip *chip) { return chip->clocks; }

void chip_run(Chip *chip, uint64_t clocks) {
  while (clocks--) clock(chip);
}

// Gives a request; returns 0 if it was taken, 1 if not within `patience` clocks, 2 if it was refused.
int give(Chip *chip, int write, uint32_t address, uint32_t data, uint64_t patience) {
  Vchip &top = chip->top;
  top.request = (static_cast<uint64_t>(data) << 9) | (address << 1) | write;
  top.request_valid = 1;
  clock(chip);
  top.request_valid = 0;
  for (; patience; patience--) {
    bool taken = top.request_taken, refused = top.refused;
    clock(chip);
    if (taken) return refused ? 2 : 0;
  }
  return 1;
}

// Returns 0, or 1 if the chip did not take or answer the request within `patience` clocks.
int chip_request(Chip *chip, int write, uint32_t address, uint32_t *data, uint64_t patience) {
  Vchip &top = chip->top;
  uint64_t end = chip->clocks + patience;
  int result;
  do {
    result = give(chip, write, address, *data, patience);
  } while (result == 2 && chip->clocks < end);
  if (result) return 1;
  if (write) return 0;
  for (; chip->clocks < end;) {
    bool there = top.answer_valid;
    *data = top.answer;
    clock(chip);
    if (there) return 0;
  }
  return 1;
}

// Writes pieces to one register until one is refused; returns how many were taken.
uint64_t chip_write(Chip *chip, uint32_t address, const uint32_t *data, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    if (give(chip, 1, address, data[i], 1 << 20)) return i;
  }
  return count;
}

// From now on requests come from the UART (0) or from chip_request (1).
void chip_direct(Chip *chip, int direct) { chip->top.direct = direct; }

int chip_busy(Chip *chip) { return chip->top.busy; }

// Bytes for the chip's input, each bit as long as so many clocks.
void chip_send(Chip *chip, const uint8_t *bytes, uint64_t count, double clocks_per_bit) {
  chip->uart.queue(bytes, count, clocks_per_bit);
}

// Bytes that have not gone over the line.
uint64_t chip_unsent(Chip *chip) { return chip->uart.to_send.size(); }

// Bytes from the chip's output since the last call, taken as so many clocks per bit; at most
// `room` of them.
uint64_t chip_receive(Chip *chip, uint8_t *bytes, uint64_t room, double clocks_per_bit) {
  return chip->uart.take(bytes, room, clocks_per_bit);
}

#ifdef COMING
// What stands at the pins of the memory from now on.
void chip_memory(Chip *chip, void (*call)(uint32_t, uint32_t, int32_t), const int32_t *coming) {
  chip->memory = {call, coming};
}
#endif

#ifdef AXI_PORTS
// How the memory behaves from now on.
void chip_axi(Chip *chip, uint64_t latency, uint64_t period, uint64_t rest, uint32_t pace_beats,
              uint32_t pace_clocks, uint32_t pauses) {
  AxiMemory &axi = chip->axi;
  axi.latency = latency;
  axi.period = period;
  axi.rest = rest;
  axi.pace_beats = pace_beats;
  axi.pace_clocks = pace_clocks;
  axi.pauses = pauses;
}

void chip_axi_fail(Chip *chip, int port, int64_t word) {
  chip->axi.failing_port = port;
  chip->axi.failing_word = word;
}

void chip_axi_fill(Chip *chip, uint64_t first, const uint32_t *pieces, uint64_t count) {
  auto &held = chip->axi.pieces;
  if (held.size() < first + count) held.resize(first + count);
  for (uint64_t i = 0; i < count; i++) held[first + i] = pieces[i];
}

void chip_axi_held(Chip *chip, uint64_t first, uint32_t *pieces, uint64_t count) {
  auto &held = chip->axi.pieces;
  for (uint64_t i = 0; i < count; i++) pieces[i] = first + i < held.size() ? held[first + i] : 0;
}

uint64_t chip_axi_beats(Chip *chip) { return chip->axi.beats; }

// The first rule that was broken since the last call, or null.
const char *chip_axi_objection(Chip *chip) {
  const char *rule = chip->axi.objection;
  chip->axi.objection = nullptr;
  return rule;
}
#endif

#ifdef TAPE_BITS
// The memory beside the chip holds these pieces and gives a word every so many clocks.
void chip_tape(Chip *chip, const uint32_t *pieces, uint64_t count, uint64_t period) {
  chip->tape.assign(pieces, pieces + count);
  chip->tape_place = 0;
  chip->tape_period = period;
}
#endif

void chip_record(Chip *chip, int on) { chip->recording = on; }

uint64_t chip_events(Chip *chip, int probe, const uint32_t **words) {
  *words = chip->events[probe].data();
  return chip->events[probe].size();
}

void chip_forget(Chip *chip) {
  for (auto &log : chip->events) log.clear();
}

}  // extern "C"
