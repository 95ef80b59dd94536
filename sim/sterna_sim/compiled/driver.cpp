// Drives the verilated chip: register requests, clocks, and a log of probe events.
//
// Built once per chip configuration. The macro PROBES, generated beside this file, lists the
// probes as PROBE(index, name, bits).

#include "Vchip.h"
#include "verilated.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "probes.inc"

namespace {

struct Chip {
  VerilatedContext context;
  Vchip top{&context};
  uint64_t clocks = 0;
  bool recording = false;
  std::vector<uint32_t> events[PROBE_COUNT];
};

template <typename T> void append(std::vector<uint32_t> &log, const T &value, int bits) {
  if constexpr (VlIsVlWide<T>::value) {
    for (int i = 0; i < (bits + 31) / 32; i++) log.push_back(value[i]);
  } else {
    log.push_back(static_cast<uint32_t>(value));
    if (bits > 32) log.push_back(static_cast<uint32_t>(static_cast<uint64_t>(value) >> 32));
  }
}

// One clock. Inputs set before are seen by this rising edge.
void clock(Chip *chip) {
  Vchip &top = chip->top;
  top.clk = 0;
  top.eval();
  if (chip->recording) {
#define PROBE(index, name, bits) \
  if (top.name##_event) append(chip->events[index], top.name##_value, bits);
    PROBES
#undef PROBE
  }
  top.clk = 1;
  top.eval();
  chip->clocks++;
}

}  // namespace

extern "C" {

Chip *chip_new() {
  auto chip = new Chip;
  chip->top.rst = 1;
  for (int i = 0; i < 4; i++) clock(chip);
  chip->top.rst = 0;
  chip->clocks = 0;
  return chip;
}

void chip_delete(Chip *chip) { delete chip; }

uint64_t chip_clocks(Chip *chip) { return chip->clocks; }

void chip_run(Chip *chip, uint64_t clocks) {
  while (clocks--) clock(chip);
}

// Returns 0, or 1 if the chip did not take or answer the request within `patience` clocks.
int chip_request(Chip *chip, int write, uint32_t address, uint32_t *data, uint64_t patience) {
  Vchip &top = chip->top;
  top.request = (static_cast<uint64_t>(*data) << 9) | (address << 1) | write;
  top.request_valid = 1;
  top.answer_ready = 1;
  for (;; patience--) {
    if (patience == 0) return top.request_valid = 0, 1;
    top.clk = 0;
    top.eval();
    bool taken = top.request_ready && !top.refused;
    clock(chip);
    if (taken) break;
  }
  top.request_valid = 0;
  if (write) return 0;
  for (; patience; patience--) {
    top.clk = 0;
    top.eval();
    bool there = top.answer_valid;
    *data = top.answer;
    clock(chip);
    if (there) return 0;
  }
  return 1;
}

// Writes `count` pieces to one register, as a burst.
int chip_write(Chip *chip, uint32_t address, const uint32_t *data, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    uint32_t piece = data[i];
    if (chip_request(chip, 1, address, &piece, 1000)) return 1;
  }
  return 0;
}

// Reads a register until bit 31 is set; returns 1 if that takes more than `patience` clocks.
int chip_wait(Chip *chip, uint32_t address, uint32_t *data, uint64_t patience) {
  uint64_t end = chip->clocks + patience;
  while (chip->clocks < end) {
    if (chip_request(chip, 0, address, data, 1000)) return 1;
    if (*data >> 31) return 0;
    for (int i = 0; i < 16; i++) clock(chip);
  }
  return 1;
}

void chip_record(Chip *chip, int on) { chip->recording = on; }

uint64_t chip_events(Chip *chip, int probe, const uint32_t **words) {
  *words = chip->events[probe].data();
  return chip->events[probe].size();
}

void chip_forget(Chip *chip) {
  for (auto &log : chip->events) log.clear();
}

}  // extern "C"
