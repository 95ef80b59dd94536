"""SentencePiece models: the same tokens as the library gave, recorded."""

import json
import shutil
from pathlib import Path

import pytest

from sterna.errors import InputError
from sterna.model.spm import sentencepiece_tokenizer
from sterna.model.tokenizer import Tokenizer, read_tokenizer

FIXTURE = Path(__file__).parents[1] / "fixtures" / "sentencepiece"
CONTENT = (FIXTURE / "tokenizer.model").read_bytes()
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(sentencepiece_tokenizer(CONTENT))


@pytest.mark.parametrize("text", EXPECTED, ids=[text[:20] for text in EXPECTED])
def test_tokens_are_those_of_the_library(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids == EXPECTED[text]
    assert tokenizer.decode(ids) == text


def test_checkpoint_with_a_sentencepiece_model_alone(tmp_path: Path) -> None:
    """BOS comes first, as with Llama's class; tokenizer.json goes before."""
    shutil.copy(FIXTURE / "tokenizer.model", tmp_path)
    text, add_bos = read_tokenizer(tmp_path)
    assert text == sentencepiece_tokenizer(CONTENT)
    assert add_bos
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    assert read_tokenizer(tmp_path) == (text, False)
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(InputError, match=r"tokenizer\.json does not hold a JSON object"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\n\x0e", b"\x00", CONTENT[:-3], b"\xff" * 9, b"A text."]
)
def test_damage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.model: it is not a SentencePiece model"):
        read_tokenizer(tmp_path)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="another kind than BPE"):
        sentencepiece_tokenizer(b"\n\x03\n\x01a" + b"\x12\x02\x18\x01")
