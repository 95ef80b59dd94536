// A host around DmaTape for as long as one likes: it answers in any order, cut, paused and failing,
// and looks at each read and at each word of the tape. WIDTH, PATIENCE and the numbers of registers
// come from soak.py.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

constexpr uint32_t BEAT = WIDTH / 8, LANES = WIDTH / 32;
constexpr uint32_t PAGE = 4096, LONGEST = 512, PIECE = 64, PAYLOAD = 256;
constexpr uint32_t LENGTH = PAGES * PAGE / BEAT - 3;  // of the tape, in words that fill a beat

enum Fault { NONE, REFUSED, POISONED, LOST, LATE, FAULTS };
constexpr uint32_t CALLED[FAULTS] = {0, FAILED, DAMAGED, TIMEOUT, TIMEOUT};

struct Read {
    uint64_t address;
    uint32_t bytes, tag, come;
    uint64_t due;
    Fault fault;
};

struct Beat {
    uint32_t words[LANES];
    uint32_t keep;
    bool last;
};

[[noreturn]] static void fail(const char* what) {
    std::printf("broken: %s\n", what);
    std::exit(1);
}

static void rule(bool kept, const char* what) {
    if (!kept) fail(what);
}

struct Host {
    VerilatedContext context;
    Vtop top{&context};
    std::mt19937_64 random;
    uint64_t every;  // reads to a fault, on average
    uint64_t clocks = 0, words = 0, reads = 0, packets = 0, overtaken = 0, faults[FAULTS] = {};
    uint32_t injected = 0;  // what STATUS may say

    std::vector<uint32_t> tape = std::vector<uint32_t>(PAGES * PAGE / 4);
    std::vector<uint64_t> pages;
    std::unordered_map<uint64_t, uint32_t> place;  // of a page, in the tape
    std::vector<Read> waiting;
    std::unordered_set<uint32_t> tags;  // of reads that are not answered, nor given up
    std::deque<Beat> answer;
    std::vector<uint32_t> request;
    std::vector<uint8_t> offered;
    uint32_t next = 0, held = 0, idle = 0;

    Host(uint64_t seed, uint64_t every) : random(seed), every(every) {
        for (uint32_t& word : tape) word = random();
        while (pages.size() < PAGES) {
            const uint64_t page = random() >> 12 << 12;
            if (place.emplace(page, pages.size()).second) pages.push_back(page);
        }
        top.rst = 1;
        top.clk = 0;
        edge();
        top.rst = 0;
    }

    uint32_t below(uint32_t limit) { return random() % limit; }

    void edge() {
        top.eval();
        top.clk = 1;
        top.eval();
        top.clk = 0;
        clocks++;
    }

    // One clock; whether a request for a register was taken.
    bool clock() {
        const bool ready = below(8) != 0;
        top.rq_ready = ready;
        drive_answer();
        // A ring that is read on most clocks, and not at all for a while now and then.
        if (idle) idle--;
        else if (below(5000) == 0) idle = below(600);
        else if (held && below(16)) held--;
        top.word_ready = held < RING_WORDS;
        top.space = RING_WORDS - held;
        top.eval();
        const bool taken = top.request_valid && top.request_ready;
        if (top.rq_valid || !offered.empty() || !request.empty()) look_at_request(ready);
        if (top.word_valid && top.word_ready) look_at_word();
        edge();
        return taken;
    }

    void look_at_word() {
        rule(!std::memcmp(&top.word_data, &tape[next * LANES], BEAT), "another word of the tape");
        next = next + 1 == LENGTH ? 0 : next + 1;
        held++;
        words++;
    }

    void look_at_request(bool ready) {
        rule(top.rq_valid, offered.empty() ? "a gap within a request" : "a request taken back");
        std::vector<uint8_t> shown(BEAT);
        std::memcpy(shown.data(), &top.rq_data, BEAT);
        rule(offered.empty() || shown == offered, "a request changed while it waited");
        offered = ready ? std::vector<uint8_t>() : shown;
        if (!ready) return;
        for (uint32_t n = 0; n < LANES && top.rq_keep >> n & 1; n++) {
            uint32_t word;
            std::memcpy(&word, &shown[4 * n], 4);
            request.push_back(word);
        }
        if (!top.rq_last) return;
        rule(request.size() == 4, "not a descriptor");
        rule(top.rq_bytes == 0xFF, "not all bytes");
        rule(!(request[0] & 3) && !(request[2] >> 11) && !(request[3] >> 8), "no plain read");
        Read read{uint64_t(request[1]) << 32 | request[0], 4 * request[2], request[3], 0, 0, NONE};
        request.clear();
        rule(read.bytes && read.bytes <= LONGEST && read.bytes % 128 == 0, "length of a read");
        rule(read.address % PAGE + read.bytes <= PAGE, "over the end of a page");
        rule(place.count(read.address / PAGE * PAGE), "outside of the pages");
        rule(tags.insert(read.tag).second, "a tag that is in use");
        reads++;
        read.due = clocks + 20 + below(400);
        if (every && below(every) == 0) {
            read.fault = Fault(1 + below(FAULTS - 1));
            faults[read.fault]++;
            injected |= CALLED[read.fault];
            if (read.fault == LATE) read.due = clocks + 2 * PATIENCE;
            if (read.fault == LOST) return;
        }
        waiting.push_back(read);
    }

    void drive_answer() {
        if (answer.empty()) {
            std::vector<size_t> due;
            for (size_t n = 0; n < waiting.size(); n++)
                if (waiting[n].due < clocks) due.push_back(n);
            if (!due.empty()) {
                const size_t chosen = due[below(due.size())];
                overtaken += chosen != 0;
                if (cut(waiting[chosen])) {
                    tags.erase(waiting[chosen].tag);
                    waiting.erase(waiting.begin() + chosen);
                }
            }
        }
        const bool goes = !answer.empty() && below(8);
        top.rc_valid = goes;
        Beat beat{};
        if (goes) {
            beat = answer.front();
            answer.pop_front();
        } else {
            for (uint32_t& word : beat.words) word = random();
            beat.last = below(2);
        }
        std::memcpy(&top.rc_data, beat.words, BEAT);
        top.rc_keep = beat.keep;
        top.rc_last = beat.last;
    }

    // Make the next packet of an answer; whether it is the last.
    bool cut(Read& read) {
        const uint64_t address = read.address + read.come;
        const uint32_t left = read.bytes - read.come;
        uint32_t size = std::min(left, PAYLOAD);
        if (below(2)) size = PIECE * (1 + below(size / PIECE));
        if (read.fault == REFUSED) size = 0;
        const bool done = size == left || read.fault == REFUSED;
        const uint32_t status = read.fault == REFUSED ? 1 + 3 * below(2) : 0;
        const uint32_t poisoned = read.fault == POISONED;
        std::vector<uint32_t> words = {
            uint32_t(address & 0x7F) | left << 16 | uint32_t(done) << 30,
            size / 4 | status << 11 | poisoned << 14,
            read.tag | uint32_t(below(1 << 16)) << 8,
        };
        const uint32_t page = place.at(address / PAGE * PAGE);
        for (uint32_t n = 0; n < size; n += 4)
            words.push_back(tape[(page * PAGE + address % PAGE + n) / 4]);
        for (size_t at = 0; at < words.size(); at += LANES) {
            Beat beat{};
            for (uint32_t n = 0; n < LANES; n++) {
                const bool there = at + n < words.size();
                beat.words[n] = there ? words[at + n] : random();
                beat.keep |= uint32_t(there) << n;
            }
            beat.last = at + LANES >= words.size();
            answer.push_back(beat);
        }
        read.come += size;
        packets++;
        return done;
    }

    uint32_t ask(bool write, uint32_t number, uint32_t data = 0) {
        top.request_valid = 1;
        top.request_write = write;
        top.request_address = number;
        top.request_data = data;
        for (uint32_t n = 0; !clock(); n++) rule(n < 100, "a request is not taken");
        top.request_valid = 0;
        if (write) return 0;
        for (uint32_t n = 0; !top.answer_valid; n++) {
            rule(n < 100, "no answer of a register");
            clock();
        }
        const uint32_t answered = top.answer_data;
        clock();
        return answered;
    }

    // Wait until nothing is on its way; return what went wrong.
    uint32_t settle() {
        for (uint32_t n = 0; n < PATIENCE; n++) {
            const uint32_t status = ask(false, STATUS);
            if (!(status & BUSY)) return status & ERRORS;
        }
        fail("busy for ever");
    }

    void begin() {
        ask(true, PAGES_REGISTER, PAGES);
        ask(true, INDEX, 0);
        for (uint64_t page : pages) {
            ask(true, LOW, uint32_t(page));
            ask(true, HIGH, uint32_t(page >> 32));
        }
        ask(true, BLOCKS, PAGES * PAGE / 128);
        top.longest = 2;
        top.length = LENGTH;
        ask(true, RUN, 1);
    }

    void mend() {
        const uint32_t errors = settle();
        rule(errors && !(errors & ~injected), "an error that nobody made");
        ask(true, STATUS, 0);
        for (uint32_t n = 0; n < 4; n++) clock();
        rule(!(ask(false, STATUS) & ERRORS), "errors that stay");
        // What was given up may come late, but its tag is another one's no more.
        tags.clear();
        top.restart = 1;
        clock();
        top.restart = 0;
        next = held = injected = 0;
    }
};

int main(int, char** arguments) {
    Host host(std::strtoull(arguments[1], nullptr, 10), std::strtoull(arguments[3], nullptr, 10));
    const uint64_t goal = std::strtoull(arguments[2], nullptr, 10);
    host.begin();
    for (uint64_t before = 0, silent = 0; host.words * BEAT < goal;) {
        for (int n = 0; n < 50; n++) host.clock();
        if (host.ask(false, STATUS) & ERRORS) host.mend();
        silent = host.words == before ? silent + 1 : 0;
        before = host.words;
        rule(silent < PATIENCE, "no word any more");
    }
    host.every = 0;
    host.ask(true, RUN, 0);
    rule(!(host.settle() & ~host.injected), "an error that nobody made");
    const uint64_t* f = host.faults;
    std::printf("%llu bytes, %llu clocks, %llu reads, %llu packets, %llu overtaken, "
                "%llu refused, %llu poisoned, %llu lost, %llu late\n",
                (unsigned long long)(host.words * BEAT), (unsigned long long)host.clocks,
                (unsigned long long)host.reads, (unsigned long long)host.packets,
                (unsigned long long)host.overtaken, (unsigned long long)f[REFUSED],
                (unsigned long long)f[POISONED], (unsigned long long)f[LOST],
                (unsigned long long)f[LATE]);
}
