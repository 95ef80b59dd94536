// A memory behind AXI4 ports: it answers late, rests and pauses, and objects to what is wrong. It
// does in every clock what `sterna_sim.axi4_model` does, for long runs.

#pragma once

#include <cstdint>
#include <deque>
#include <vector>

constexpr unsigned AXI_PIECES = AXI_BITS / 32;

struct AxiMemory;

// Addresses of a burst as the master offers them.
struct AxiAddress {
  bool valid;
  uint64_t address;
  uint32_t length, size, burst, id;

  bool operator!=(const AxiAddress &other) const {
    return valid != other.valid || address != other.address || length != other.length ||
           size != other.size || burst != other.burst || id != other.id;
  }
};

struct AxiPort {
  struct Burst {
    uint64_t due, word;
    unsigned left;
    bool fails;
  };
  std::deque<Burst> reads, answers;
  AxiAddress read_waits{}, write_waits{};
  bool writing = false;
  Burst write{};
  uint32_t credit = 0;
  // What the memory drives in this clock.
  bool arready = false, rvalid = false, rlast = false, rfails = false;
  bool awready = false, wready = false, bvalid = false, bfails = false;
  uint64_t word = 0;

  void drive(AxiMemory &memory, unsigned number);
  void read(AxiMemory &memory, unsigned number, const AxiAddress &offered, bool rready);
  void begin_write(AxiMemory &memory, unsigned number, const AxiAddress &offered, bool bready);
  void beat(AxiMemory &memory, unsigned number, bool last, uint64_t strobe, const uint32_t *pieces);
};

struct AxiMemory {
  std::vector<uint32_t> pieces;  // of all words, as many as have been filled
  AxiPort ports[AXI_COUNT];
  uint64_t clock = 0, latency = 1, period = 1, rest = 0, beats = 0;
  uint32_t pace_beats = 1, pace_clocks = 1;
  uint32_t pauses = 0, random = 1;  // pauses: part of the clocks, in 65536ths
  unsigned failing_port = 0;
  int64_t failing_word = -1;
  const char *objection = nullptr;

  void forget() {
    for (auto &port : ports) port = AxiPort();
  }
  bool moves() {
    random = random * 1664525 + 1013904223;
    return (random >> 16) >= pauses;
  }
  bool rests(unsigned number) const {
    return (clock + number * period / AXI_COUNT) % period < rest;
  }
  bool fails(unsigned number, uint64_t word) const {
    return number == failing_port && static_cast<int64_t>(word) == failing_word;
  }
  void object(const char *rule) {
    if (!objection) objection = rule;
  }
  uint32_t *place(unsigned number, uint64_t word) {
    uint64_t first = (word * AXI_COUNT + number) * AXI_PIECES;
    if (first + AXI_PIECES > pieces.size()) pieces.resize(first + AXI_PIECES);
    return &pieces[first];
  }
  // The burst of an address that keeps to the rules.
  AxiPort::Burst burst(unsigned number, const AxiAddress &offered) {
    constexpr uint64_t beat = AXI_BITS / 8;
    uint64_t end = offered.address + (offered.length + 1) * beat - 1;
    if (offered.id) object("id");
    if (offered.burst != 1 || (1u << offered.size) != beat) object("burst");
    if (offered.length >= 16) object("length");
    if (offered.address % beat) object("aligned");
    if (offered.address / 4096 != end / 4096) object("page");
    uint64_t start = number * AXI_SPACING;
    if (offered.address < start || end >= start + AXI_BYTES) {
      object("range");
      return {clock + latency, 0, 1, false};
    }
    uint64_t word = (offered.address - start) / beat;
    return {clock + latency, word, offered.length + 1, false};
  }
};

inline void AxiPort::drive(AxiMemory &memory, unsigned number) {
  arready = memory.moves();
  awready = memory.moves() && !writing;
  wready = memory.moves() && writing;
  rvalid = bvalid = false;
  bool rests = memory.rests(number);
  if (!rests) credit += memory.pace_beats;
  uint32_t most = memory.pace_beats + memory.pace_clocks - 1;
  if (credit > most) credit = most;
  bool due = !reads.empty() && reads[0].due <= memory.clock;
  if (due && credit >= memory.pace_clocks && !rests && memory.moves()) {
    credit -= memory.pace_clocks;
    Burst &burst = reads[0];
    rvalid = true;
    word = burst.word++;
    rlast = --burst.left == 0;
    rfails = memory.fails(number, word);
    if (rlast) reads.pop_front();
    memory.beats++;
  }
  if (!answers.empty() && answers[0].due <= memory.clock) {
    bvalid = true;
    bfails = answers[0].fails;
    answers.pop_front();
  }
}

inline void AxiPort::read(
    AxiMemory &memory, unsigned number, const AxiAddress &offered, bool rready) {
  if (!rready) memory.object("ready");
  if (read_waits.valid && read_waits != offered) memory.object("stable");
  read_waits = offered;
  if (!offered.valid || !arready) return;
  read_waits.valid = false;
  reads.push_back(memory.burst(number, offered));
}

inline void AxiPort::begin_write(
    AxiMemory &memory, unsigned number, const AxiAddress &offered, bool bready) {
  if (!bready) memory.object("ready");
  if (write_waits.valid && write_waits != offered) memory.object("stable");
  write_waits = offered;
  if (!offered.valid || !awready) return;
  write_waits.valid = false;
  writing = true;
  write = memory.burst(number, offered);
}

inline void AxiPort::beat(
    AxiMemory &memory, unsigned number, bool last, uint64_t strobe, const uint32_t *pieces) {
  if (!wready) return;
  uint32_t *place = memory.place(number, write.word);
  bool fails = memory.fails(number, write.word);
  for (unsigned n = 0; n < AXI_PIECES && !fails; n++) place[n] = pieces[n];
  write.fails |= fails;
  if (strobe != ~0ull >> (64 - AXI_BITS / 8)) memory.object("strobe");
  if (last != (--write.left == 0)) memory.object("last");
  if (write.left == 0) {
    writing = false;
    write.due = memory.clock + memory.latency;
    answers.push_back(write);
  }
  write.word++;
}
