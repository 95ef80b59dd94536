"""The kit notices every way in which a unit can go wrong, under both simulators."""

import re

import numpy as np
import pytest

from sterna_sim.kit import CheckError, Stalls, check_planted_bug, edited, run_cocotb, run_pysim
from sterna_sim.kit.cocotb_runner import _results
from sterna_sim.kit.player import StallError

from .adder import COUNT, Adder, AdderBench, Fault

FOUND = {
    Fault.WRONG_VALUE: r"wrong output .*port=o index=8 ",
    Fault.MISSING_OUTPUT: rf"missing output: 1 of {COUNT} .*port=o index={COUNT - 1} ",
    Fault.EXTRA_OUTPUT: rf"extra output .*port=o index={COUNT} ",
    Fault.DROPPED_VALID: "valid fell before the item was accepted .*port=o ",
    Fault.UNSTABLE_PAYLOAD: "payload changed before the item was accepted .*port=o ",
    Fault.WAITS_FOR_READY: "missing output: .*stalls=late-outputs .*port=o index=0 ",
    Fault.UNREAD_INPUT: "missing output: 1 of",
    Fault.WRONG_WRITE: "wrong output",
    Fault.WRONG_COUNT: rf"wrong value at the end .*port=count expected={COUNT} got={COUNT + 1} ",
    Fault.SLOW: rf"too slow .*expected=at most {3 * COUNT} ",
    Fault.IGNORES_VALID: "wrong output",
    Fault.KEEPS_STATE: "wrong output",
}


class OneStall(AdderBench):
    """Both sides at random, so that a simulation is short."""

    stalls = (Stalls(), Stalls("random", "random"))


class NoLateSink(AdderBench):
    stalls = AdderBench.stalls[:-1]


class WithBugs(AdderBench):
    configs = {"good": Fault.NONE}
    bugs = {
        "writes the low bits": lambda _: edited(
            Adder, "write_data.eq(total[1:])", "write_data.eq(total)"
        )(),
        "none at all": lambda _: Adder(),
    }


class UnwrittenMemory(AdderBench):
    """Expects that nothing is written."""

    def cases(self, config, rng):
        for case in super().cases(config, rng):
            case.memories[0].expected = case.memories[0].words
            yield case


def test_good_unit_passes_pysim():
    counts = run_pysim(AdderBench(), "NONE")
    assert counts["inputs"] == 2 * COUNT
    assert counts["outputs"] == COUNT


def test_good_unit_passes_cocotb():
    assert run_cocotb(AdderBench(), "NONE") == run_pysim(AdderBench(), "NONE")


def test_every_fault_has_its_test():
    assert set(FOUND) == set(Fault) - {Fault.NONE}


@pytest.mark.parametrize("fault", FOUND)
def test_pysim_finds(fault):
    with pytest.raises(CheckError, match=FOUND[fault]) as caught:
        run_pysim(AdderBench(), fault.name)
    assert re.search(
        rf"bench=adder config={fault.name} .*case=0:sums .*seed=1\]", str(caught.value)
    )


@pytest.mark.parametrize("fault", [Fault.WRONG_VALUE, Fault.MISSING_OUTPUT, Fault.EXTRA_OUTPUT])
def test_cocotb_finds_wrong_items(fault):
    with pytest.raises(CheckError, match=FOUND[fault]):
        run_cocotb(OneStall(), fault.name)


@pytest.mark.parametrize("fault", [Fault.DROPPED_VALID, Fault.UNSTABLE_PAYLOAD])
def test_cocotb_finds_broken_contract(fault):
    with pytest.raises(CheckError, match=FOUND[fault]):
        run_cocotb(OneStall(), fault.name)


@pytest.mark.parametrize("run", [run_pysim, run_cocotb])
def test_stalls_without_effect_are_reported(run):
    with pytest.raises(StallError, match=r"stalls were never seen \(valid only\) .*port=o "):
        run(NoLateSink(), "WAITS_FOR_READY")


def test_finds_wrong_memory():
    with pytest.raises(CheckError, match=r"wrong word in memory .*port=memory index="):
        run_pysim(UnwrittenMemory(), "NONE")


def test_values_are_shown_as_items():
    with pytest.raises(CheckError, match=r"expected=\{'sum': \d+, 'word': -?\d+\} got=\{'sum'"):
        run_pysim(AdderBench(), "WRONG_VALUE")


def test_same_seed_same_stimulus(monkeypatch):
    assert run_pysim(AdderBench(), "NONE") == run_pysim(AdderBench(), "NONE")
    with pytest.raises(CheckError) as first:
        run_pysim(AdderBench(), "WRONG_VALUE")
    monkeypatch.setenv("STERNA_SEED", "2")
    with pytest.raises(CheckError, match="seed=2") as second:
        run_pysim(AdderBench(), "WRONG_VALUE")
    assert first.value.where["expected"] != second.value.where["expected"]


def test_planted_bug_is_found():
    check_planted_bug(WithBugs(), "writes the low bits")


def test_bug_that_is_none_is_reported():
    with pytest.raises(AssertionError, match="does not find its planted bug 'none at all'"):
        check_planted_bug(WithBugs(), "none at all")


@pytest.mark.parametrize("old", ["no such text", "m.next"])
def test_edit_must_fit(old):
    with pytest.raises(ValueError, match="times, not once"):
        edited(Adder, old, "")


class WrongPort(AdderBench):
    def cases(self, config, rng):
        for case in super().cases(config, rng):
            case.inputs["c"] = [1]
            yield case


class TooWide(AdderBench):
    def cases(self, config, rng):
        for case in super().cases(config, rng):
            case.outputs["o"][3]["sum"] = np.int64(512)
            yield case


def test_unknown_port_is_refused():
    with pytest.raises(ValueError, match=r"no port \['c'\]"):
        run_pysim(WrongPort(), "NONE")


def test_value_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"o\[3\]: sum: 512 is not in 0..511"):
        run_pysim(TooWide(), "NONE")


def test_results_file_must_exist_and_pass(tmp_path):
    assert _results(tmp_path / "none.xml") == (0, 0)
    path = tmp_path / "results.xml"
    path.write_text(
        "<testsuites><testsuite><testcase/><testcase><failure/></testcase>"
        "<testcase><skipped/></testcase></testsuite></testsuites>"
    )
    assert _results(path) == (2, 1)
