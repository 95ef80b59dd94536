// Drives a verilated chip that has nothing but a clock, a reset and a UART.

#include "Vchip.h"
#include "verilated.h"

#include "uart.h"

namespace {

struct Chip {
  Vchip top;
  Uart uart;
  uint64_t clocks = 0;

  void clock() {
    top.rx = uart.send();
    top.clk = 0;
    top.eval();
    top.clk = 1;
    top.eval();
    clocks++;
    uart.receive(top.tx);
  }
};

}  // namespace

extern "C" {

Chip *pins_new() { return new Chip; }

void pins_delete(Chip *chip) { delete chip; }

void pins_reset(Chip *chip) {
  chip->uart = {};
  chip->top.rst = 1;
  for (int n = 0; n < 4; n++) chip->clock();
  chip->top.rst = 0;
}

void pins_run(Chip *chip, uint64_t clocks) {
  while (clocks--) chip->clock();
}

// Run until a byte has come, or for so many clocks.
void pins_wait(Chip *chip, uint64_t clocks) {
  while (clocks-- && chip->uart.received.empty()) chip->clock();
}

uint64_t pins_clocks(Chip *chip) { return chip->clocks; }

// Bytes for the chip's input, each bit as long as so many clocks.
void pins_send(Chip *chip, const uint8_t *bytes, uint64_t count, double clocks_per_bit) {
  chip->uart.queue(bytes, count, clocks_per_bit);
}

uint64_t pins_unsent(Chip *chip) { return chip->uart.to_send.size(); }

// Bytes from the chip's output since the last call, and how long a bit of the next ones is.
uint64_t pins_receive(Chip *chip, uint8_t *bytes, uint64_t room, double clocks_per_bit) {
  return chip->uart.take(bytes, room, clocks_per_bit);
}

}  // extern "C"
