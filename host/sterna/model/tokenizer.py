"""Text to token ids and back, with the tokenizer that came with the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers

from sterna.errors import InputError
from sterna.model.checkpoint import read_json
from sterna.model.model import Model
from sterna.model.spm import sentencepiece_tokenizer

__all__ = ["StreamDecoder", "Tokenizer", "read_tokenizer"]

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What decoders write for bytes that are not (or not yet) UTF-8."""


def read_tokenizer(directory: Path | str) -> tuple[str | None, bool]:
    """Read the tokenizer of a checkpoint directory.

    Returns
    -------
    text : str or None
        Contents of `tokenizer.json`, or what stands for `tokenizer.model` (SentencePiece) where
        that is alone; None if the checkpoint has no tokenizer.
    add_bos : bool
        Whether `tokenizer_config.json` asks for a BOS token before a text.

    Raises
    ------
    InputError
        If the tokenizer is damaged, or of a kind that cannot be read.
    """
    paths = [Path(directory) / name for name in ("tokenizer.json", "tokenizer.model")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None, False
    try:
        if path.suffix == ".json":
            read_json(path)
            text = path.read_bytes().decode()
        else:
            text = sentencepiece_tokenizer(path.read_bytes())
        Tokenizer(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    config_path = path.with_name("tokenizer_config.json")
    config = read_json(config_path) if config_path.is_file() else {}
    # Llama's tokenizer classes add BOS unless they are told not to
    is_llama = str(config.get("tokenizer_class", "")).startswith("LlamaTokenizer")
    is_llama |= path.suffix == ".model" and "tokenizer_class" not in config
    add_bos = config.get("add_bos_token", is_llama)
    if not isinstance(add_bos, bool):
        raise InputError(f"{config_path} says add_bos_token {add_bos!r}; true or false is expected")
    return text, add_bos


class Tokenizer:
    """A tokenizer made from the text of a `tokenizer.json`.

    Parameters
    ----------
    text : str
    bos : int or None
        Token with which every encoded text must start; added where the tokenizer does not.
    vocab : int or None
        Size of the model's vocabulary; ids beyond it are refused.

    Raises
    ------
    InputError
        If the text is not a tokenizer.
    """

    def __init__(self, text: str, *, bos: int | None = None, vocab: int | None = None) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing more precise
            raise InputError(
                f"the tokenizer cannot be used ({error}); take tokenizer.json from the checkpoint"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._bos = bos
        self._vocab = vocab

    @classmethod
    def of(cls, model: Model) -> Tokenizer | None:
        """Tokenizer of a model, or None: then prompts are token ids.

        `model.meta` says ``bos`` (an id) and ``add_bos`` (what `read_tokenizer` returned).
        """
        if model.tokenizer is None:
            return None
        bos = model.meta.get("bos") if model.meta.get("add_bos") else None
        return cls(model.tokenizer, bos=bos, vocab=model.shape.vocab)

    def encode(self, text: str, begins: bool = True) -> list[int]:
        """Token ids of a text, BOS first if the model wants one and nothing stands before the text.

        Raises
        ------
        InputError
            If the text gives a token that the model does not have.
        """
        return self.encode_with_ends(text, begins)[0]

    def encode_with_ends(self, text: str, begins: bool = True) -> tuple[list[int], list[int]]:
        """Token ids as `encode` gives them, and after each the number of characters behind it."""
        encoding = self._tokenizer.encode(text, add_special_tokens=begins)
        ids, ends = encoding.ids, [end for _, end in encoding.offsets]
        if begins and self._bos is not None and ids[:1] != [self._bos]:
            ids, ends = [self._bos, *ids], [0, *ends]
        largest = max(ids, default=0)
        if self._vocab is not None and largest >= self._vocab:
            raise InputError(
                f"the text holds {self._tokenizer.id_to_token(largest)!r}, token {largest}, but "
                f"the model has only {self._vocab} tokens; leave it out"
            )
        return ids, ends

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, without special tokens such as BOS."""
        return self._tokenizer.decode([int(token) for token in ids], skip_special_tokens=True)

    def stream(self, prompt: Sequence[int] = ()) -> StreamDecoder:
        """Decoder for the tokens that follow a prompt, one by one."""
        return StreamDecoder(self, prompt)


class StreamDecoder:
    """Give the text of tokens as they come.

    A token may hold part of a character, and may decode to another text (a space or none) after
    another token than alone. So each token is decoded together with those before it, and text is
    given out when it ends in a whole character; it never changes afterwards.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = [int(token) for token in prompt]
        # text of the tokens in self._ids that is out; a prompt may end in half of a character
        self._given = tokenizer.decode(self._ids).rstrip(REPLACEMENT)
        self._fresh = len(self._ids)  # index of the first token whose text is not out

    def push(self, token: int) -> str:
        """Take a token; return the text that is now certain, often empty or several characters."""
        self._ids.append(int(token))
        text = self._tokenizer.decode(self._ids)
        if text.endswith(REPLACEMENT) or len(text) <= len(self._given):
            return ""
        return self._give(text)

    def finish(self) -> str:
        """Return what is left at the end, with a replacement character for half of a character."""
        return self._give(self._tokenizer.decode(self._ids))

    def _give(self, text: str) -> str:
        """Give out what is new in the text; keep only its tokens, as context for the next ones."""
        new = text[len(self._given) :]
        del self._ids[: self._fresh]
        self._fresh = len(self._ids)
        self._given = self._tokenizer.decode(self._ids)
        return new
