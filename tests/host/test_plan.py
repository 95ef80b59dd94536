"""sterna plan: models and boards by file, name and number, and what is wrong with them."""

import json

import pytest

SHAPE = ("plan", "--shape", "200,64,2,128")
BOARD = ("--board", "ulx3s-85f")
OWN = ("--luts", 30000, "--ram", 200, "--clock", 25)


def facts(sterna, *arguments):
    result = sterna(*arguments, "--json")
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)


def test_model_file(sterna, numbers):
    found = facts(sterna, "plan", "--model", numbers.model, *BOARD)
    assert found["kind"] == "model"
    assert (found["tape"], found["embedding"]) == ("chip", "chip")
    assert found["chip"]["columns"] == found["columns"]
    assert found["luts"] <= found["luts_usable"] == 41820
    assert found["device_tokens_per_second"] * found["clocks_per_token"] == pytest.approx(50e6)
    words = sterna("plan", "--model", numbers.model, *BOARD).out
    assert f"configuration {found['configuration']}" in words
    assert f"{found['clocks_per_token']:,.0f} clocks per token" in words
    assert words.endswith("all figures are of kind model: calculated, not measured\n")


def test_shapes(sterna):
    """A large one needs no file, and the embedding's place is told."""
    found = facts(sterna, "plan", "--shape", "370M", "--board", "u250", "--slots", 1)
    assert found["ternary_weights"] == 24 * (4 * 1024**2 + 3 * 2816 * 1024) + 32000 * 1024
    assert (found["tape"], found["embedding"], found["slots"]) == ("memory", "memory", 1)
    assert found["roofline"] == "memory"
    words = sterna("plan", "--shape", "370M", "--board", "u250", "--slots", 1).out
    assert "this chip can't be built yet" in words


def test_own_board(sterna):
    own = facts(sterna, *SHAPE, *OWN)
    assert own["clock_hz"] == 25e6
    assert own["luts"] <= own["luts_usable"] == 30000
    assert own["block_rams"] <= own["block_rams_usable"] == 88
    assert (own["board"], own["multipliers_usable"]) == (None, None)
    board = facts(sterna, *SHAPE, *BOARD, *OWN)
    assert board["multipliers_usable"] == 156
    assert board["luts_usable"] == 30000
    slow = facts(sterna, "plan", "--shape", "260,256,4,512", *OWN, "--bandwidth", 0.01)
    assert (slow["tape"], slow["roofline"]) == ("memory", "memory")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (BOARD, ["--model or --shape"]),
        ((*BOARD, "--shape", "370M", "--model", "x"), ["--model or --shape"]),
        ((*BOARD, "--shape", "7B"), ["370M, 1.3B, 2.7B", "'7B'"]),
        ((*BOARD, "--shape", "1,2,3"), ["four numbers", "'1,2,3'"]),
        ((*BOARD, "--shape", "1,0,1,1"), ["1 to 65535", "1,0,1,1"]),
        ((*BOARD, "--shape", "1,1,1,65536"), ["1 to 65535"]),
        ((*BOARD, "--shape", "9,9,1001,9"), ["1 to 1000 layers"]),
        ((*BOARD, "--shape", "65535,65535,1,9"), ["no chip for this model fits"]),
        (("--shape", "9,9,1,9", "--luts", 5, "--ram", 99, "--clock", 9), ["LUTs and there are 5"]),
        (("--shape", "370M"), ["--board, or --luts, --ram and --clock"]),
        (("--shape", "370M", "--luts", 9, "--ram", 9), ["--board, or"]),
        (("--shape", "370M", "--board", "de10"), ["ulx3s-85f, u250, u280", "'de10'"]),
        (("--shape", "370M", *OWN), ["no chip for this model fits", "there are 88"]),
        (("--model", "missing", *BOARD), ["missing", "No such file"]),
        (("--model", __file__, *BOARD), ["not a complete safetensors file"]),
    ],
)
def test_refused(sterna, arguments, words):
    sterna("plan", *arguments).refused(*words)


def test_usage(sterna):
    sterna(*SHAPE, *BOARD, "--slots", 9).usage_error("--slots")
    sterna(*SHAPE, "--luts", 0).usage_error("--luts")
    sterna(*SHAPE, "--clock", "fast").usage_error("--clock")
