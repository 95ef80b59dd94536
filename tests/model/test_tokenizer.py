"""Tokenizers: BOS, round trips, and text that comes token by token."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as HfTokenizer

from sterna.errors import InputError
from sterna.model.tokenizer import Tokenizer, read_tokenizer
from tests.model.test_container import small_model
from tests.synthetic import byte_tokenizer

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models" / "tern-ecp5"
TEXT = ROOT / "models" / "text" / "books.txt"
FIXTURE_A = ROOT / "tests" / "fixtures" / "A"


def llama_tokenizer() -> str:
    """Text of a tokenizer like Llama's: U+2581 for spaces, bytes as fallback, no BOS of its own."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["\u2581", *"abcdehlorw", "he", "ll", "hell", "hello", "\u2581w", "or", "\u2581wor"]
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("\u2581", "w"), ("o", "r")]
    merges.append(("\u2581w", "or"))
    tokenizer = HfTokenizer(
        models.BPE(
            {piece: token for token, piece in enumerate(pieces)},
            merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ("<s>", "</s>")])
    return tokenizer.to_str()


def merging_tokenizer() -> str:
    """Text of a tokenizer of bytes with merges, and BOS before every text."""
    tokenizer = HfTokenizer.from_str(byte_tokenizer())
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(TEXT)], trainer)
    return tokenizer.to_str()


TOKENIZERS = {
    "merging": Tokenizer(merging_tokenizer(), vocab=512),
    "bytes": Tokenizer(byte_tokenizer(), vocab=259),
    "llama": Tokenizer(llama_tokenizer(), bos=1),
}
EVERY = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=list(TOKENIZERS))
BYTE_LEVEL = pytest.mark.parametrize("name", ["merging", "bytes"])

TEXTS = [
    "hello world",
    "",
    " ",
    "  two  spaces ",
    "na\u00efve caf\u00e9 \u20ac5",
    "\U0001f426\n\u200d!",
]


@EVERY
@pytest.mark.parametrize("text", TEXTS)
def test_text_survives(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids[0] == 1
    assert ids.count(1) == 1
    assert tokenizer.decode(ids) == text


def stream(tokenizer: Tokenizer, prompt: list[int], ids: list[int]) -> str:
    decoder = tokenizer.stream(prompt)
    return "".join([*(decoder.push(token) for token in ids), decoder.finish()])


@EVERY
@pytest.mark.parametrize("text", TEXTS)
def test_stream_joins_to_the_text_wherever_the_prompt_ends(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    for end in range(1, len(ids) + 1):
        prompt = tokenizer.decode(ids[:end])
        if "\ufffd" not in prompt:
            assert prompt + stream(tokenizer, ids[:end], ids[end:]) == text


@EVERY
def test_no_half_character_is_given_out(tokenizer: Tokenizer) -> None:
    text = "a\u20acb\U0001f426\u00e9"
    decoder = tokenizer.stream([1])
    pieces = [decoder.push(token) for token in tokenizer.encode(text)[1:]]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert decoder.finish() == ""


@BYTE_LEVEL
@settings(max_examples=200)
@given(data=st.data())
def test_stream_of_any_tokens_joins_to_their_text(name: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, 511 if name == "merging" else 258), max_size=40))
    assert stream(tokenizer, [], ids) == tokenizer.decode(ids)


@given(st.lists(st.integers(0, 275), max_size=30))
def test_broken_byte_tokens_do_no_harm(ids: list[int]) -> None:
    tokenizer = TOKENIZERS["llama"]
    text = stream(tokenizer, [1], ids)
    expected = tokenizer.decode([1, *ids])
    if "\ufffd" not in expected:
        assert text == expected


def test_half_character_at_the_end_is_marked() -> None:
    tokenizer = TOKENIZERS["bytes"]
    decoder = tokenizer.stream()
    ids = tokenizer.encode("a\u20ac")
    assert [decoder.push(token) for token in ids[:-1]] == ["", "a", "", ""]
    assert decoder.finish() == "\ufffd"


def test_prompt_may_end_in_half_of_a_character() -> None:
    tokenizer = TOKENIZERS["bytes"]
    ids = tokenizer.encode("a\u20acb")
    assert stream(tokenizer, ids[:3], ids[3:]) == "\u20acb"


def test_special_tokens_are_not_text() -> None:
    tokenizer = TOKENIZERS["merging"]
    ids = tokenizer.encode("once")
    assert tokenizer.decode([*ids, 2, 2]) == "once"
    assert stream(tokenizer, [], [*ids, 2, *ids]) == "onceonce"


def test_ids_of_the_shipped_model_start_with_one_bos() -> None:
    text, add_bos = read_tokenizer(SHIPPED)
    assert add_bos
    assert Tokenizer(text, bos=1).encode("Once upon a time")[:2] != [1, 1]
    model = dataclasses.replace(small_model(), tokenizer=text, meta={"bos": 1, "add_bos": True})
    model = dataclasses.replace(model, shape=dataclasses.replace(model.shape, vocab=1024))
    assert Tokenizer.of(model).encode("a")[0] == 1
    assert Tokenizer.of(dataclasses.replace(model, tokenizer=None)) is None


def test_checkpoint_without_tokenizer_has_none() -> None:
    assert read_tokenizer(FIXTURE_A) == (None, False)


@pytest.mark.parametrize(
    ("config", "add_bos"),
    [
        (None, False),
        ({}, False),
        ({"add_bos_token": True}, True),
        ({"tokenizer_class": "LlamaTokenizer"}, True),
        ({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}, False),
    ],
)
def test_config_decides_about_bos(tmp_path: Path, config: dict | None, add_bos: bool) -> None:
    (tmp_path / "tokenizer.json").write_text(llama_tokenizer())
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    text, given = read_tokenizer(tmp_path)
    assert given is add_bos
    assert (Tokenizer(text, bos=1 if given else None).encode("hello")[0] == 1) is add_bos


def test_truncation_and_padding_are_switched_off() -> None:
    fields = json.loads(byte_tokenizer())
    fields["truncation"] = {
        "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    tokenizer = Tokenizer(json.dumps(fields))
    assert len(tokenizer.encode("a long text")) == 12


def test_token_outside_the_vocabulary_is_refused() -> None:
    tokenizer = Tokenizer(byte_tokenizer(), vocab=200)
    assert tokenizer.encode("abc")
    with pytest.raises(InputError, match=r"token 24[0-9], but the model has only 200 tokens"):
        tokenizer.encode("\U0001f426")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "tokenizer.json is not JSON"),
        ("[]", "does not hold a JSON object"),
        ('{"version": "1.0"}', "tokenizer.json: the tokenizer cannot be used"),
    ],
)
def test_broken_tokenizer_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_tokenizer(tmp_path)


def test_broken_config_is_refused(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": "yes"}')
    with pytest.raises(InputError, match="add_bos_token 'yes'; true or false is expected"):
        read_tokenizer(tmp_path)
