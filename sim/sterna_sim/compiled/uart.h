// The other end of a chip's UART.

#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

// Bit times are counted in fractions of a clock.
struct Uart {
  struct Item {
    uint8_t byte;
    double bit;
  };
  std::deque<Item> to_send;
  std::vector<uint8_t> received;
  double receive_bit = 16;
  double send_time = 0, receive_time = 0;
  int send_left = 0, receive_count = -1;
  uint32_t send_bits = 0, receive_bits = 0;

  // Bytes for the chip's input, each bit as long as so many clocks.
  void queue(const uint8_t *bytes, uint64_t count, double clocks_per_bit) {
    for (uint64_t i = 0; i < count; i++) to_send.push_back({bytes[i], clocks_per_bit});
  }

  // Bytes from the chip's output since the last call, at most `room`; a bit of those that follow
  // takes so many clocks.
  uint64_t take(uint8_t *bytes, uint64_t room, double clocks_per_bit) {
    receive_bit = clocks_per_bit;
    uint64_t count = received.size() < room ? received.size() : room;
    std::copy_n(received.begin(), count, bytes);
    received.erase(received.begin(), received.begin() + count);
    return count;
  }

  // Level on the chip's input for this clock.
  int send() {
    if (send_left == 0) {
      if (to_send.empty()) return 1;
      send_bits = (to_send.front().byte << 1) | 0x200;
      send_left = 10;
      send_time += to_send.front().bit;
    }
    int level = send_bits & 1;
    send_time -= 1;
    if (send_time <= 0) {
      send_bits >>= 1;
      if (--send_left == 0) {
        to_send.pop_front();
        if (to_send.empty()) send_time = 0;
      } else {
        send_time += to_send.front().bit;
      }
    }
    return level;
  }

  void receive(int level) {
    if (receive_count < 0) {
      if (level) return;
      receive_count = 0;
      receive_bits = 0;
      receive_time = receive_bit / 2;
    }
    receive_time -= 1;
    if (receive_time > 0) return;
    receive_time += receive_bit;
    receive_bits |= level << receive_count;
    if (++receive_count < 10) return;
    if (!(receive_bits & 1) && (receive_bits >> 9)) received.push_back(receive_bits >> 1);
    receive_count = -1;
  }
};
