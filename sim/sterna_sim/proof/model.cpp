// A unit with its mutants behind a C interface: the bytes of its ports, and runs to play again.

#include <cstring>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

struct Port {
    void* place;
    size_t bytes;
    int under;  // compared: -1 always, -2 never, else only while this output is not zero
};

struct Run {
    std::vector<uint8_t> inputs, settled, clocked;
    size_t clocks = 0;
};

struct Unit {
    VerilatedContext context;
    Vtop top{&context};
    std::vector<Port> inputs, outputs;
    std::vector<uint8_t> in, out;
    Run* run = nullptr;

    explicit Unit(unsigned mutant) {
        inputs = {INPUTS};
        outputs = {OUTPUTS};
        size_t in_bytes = 0, out_bytes = 0;
        for (const Port& port : inputs) in_bytes += port.bytes;
        for (const Port& port : outputs) out_bytes += port.bytes;
        in.resize(in_bytes);
        out.resize(out_bytes);
        CHOOSE(mutant);
        CLOCK(0);
        settle();
    }

    void show() {
        uint8_t* at = out.data();
        for (const Port& port : outputs) {
            std::memcpy(at, port.place, port.bytes);
            at += port.bytes;
        }
    }

    void settle() {
        const uint8_t* at = in.data();
        for (const Port& port : inputs) {
            std::memcpy(port.place, at, port.bytes);
            at += port.bytes;
        }
        top.eval();
        show();
    }

    void clock() {
        if (run) {
            run->inputs.insert(run->inputs.end(), in.begin(), in.end());
            run->settled.insert(run->settled.end(), out.begin(), out.end());
            run->clocks++;
        }
        CLOCK(1);
        top.eval();
        CLOCK(0);
        top.eval();
        show();
        if (run) run->clocked.insert(run->clocked.end(), out.begin(), out.end());
    }

    bool same(const uint8_t* expected) const {
        std::vector<const uint8_t*> places;
        size_t at = 0;
        for (const Port& port : outputs) {
            places.push_back(expected + at);
            at += port.bytes;
        }
        for (size_t n = 0; n < outputs.size(); n++) {
            const Port& port = outputs[n];
            if (port.under == -2 || (port.under >= 0 && !*places[port.under])) continue;
            if (std::memcmp(out.data() + (places[n] - expected), places[n], port.bytes)) return false;
        }
        return true;
    }
};

extern "C" {

Unit* unit_new(unsigned mutant) { return new Unit(mutant); }
void unit_delete(Unit* unit) { delete unit; }
uint8_t* unit_inputs(Unit* unit) { return unit->in.data(); }
uint8_t* unit_outputs(Unit* unit) { return unit->out.data(); }
void unit_settle(Unit* unit) { unit->settle(); }
void unit_clock(Unit* unit) { unit->clock(); }

Run* run_new() { return new Run; }
void run_delete(Run* run) { delete run; }
void unit_record(Unit* unit, Run* run) { unit->run = run; }
uint64_t run_clocks(const Run* run) { return run->clocks; }
const uint8_t* run_outputs(const Run* run) { return run->settled.data(); }

// Play a run again; return the clock on which an output differs, or the number of clocks.
uint64_t unit_replay(Unit* unit, const Run* run) {
    const size_t in_bytes = unit->in.size(), out_bytes = unit->out.size();
    for (size_t n = 0; n < run->clocks; n++) {
        std::memcpy(unit->in.data(), run->inputs.data() + n * in_bytes, in_bytes);
        unit->settle();
        if (!unit->same(run->settled.data() + n * out_bytes)) return n;
        unit->clock();
        if (!unit->same(run->clocked.data() + n * out_bytes)) return n;
    }
    return run->clocks;
}
}
