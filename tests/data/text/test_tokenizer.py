"""Tokenizers: texts come back, special tokens stay special, plain data keeps all."""

import json
import sys

import pytest

from dlplug.data.text.symbol_tokenizer import CharacterTokenizer, WordTokenizer
from dlplug.data.text.tokenizer import (
    NUM_SPECIAL,
    SPECIAL_NAMES,
    kinds,
    learn_tokenizer,
    tokenizer_from_plain,
)
from dlplug.errors import DataError, InvalidValueError
from dlplug.nn.absent import UNKNOWN

TEXTS = ["In the beginning God created the heaven and the earth.", "Ärger, naïve 日本\n <mask>"]


@pytest.mark.parametrize("kind", kinds())
def test_texts_come_back(kind):
    """Encoded and decoded, also by the tokenizer that its plain data describes."""
    tokenizer = learn_tokenizer(kind, TEXTS)
    again = tokenizer_from_plain(json.loads(json.dumps(tokenizer.to_plain())))
    for text in TEXTS:
        tokens = tokenizer.encode(text)
        assert all(NUM_SPECIAL <= token < tokenizer.vocab_size for token in tokens)
        expected = " ".join(text.split()) if kind == "word" else text
        assert tokenizer.decode(tokens) == expected
        assert again.encode(text) == tokens and again.decode(tokens) == expected
    assert again.vocab_size == tokenizer.vocab_size


@pytest.mark.parametrize("kind", ["byte", "subword"])
def test_bytes_make_every_text_known(kind):
    """Characters that no training text had."""
    tokenizer = learn_tokenizer(kind, ["abc"])
    assert tokenizer.decode(tokenizer.encode("Ωmega ✓")) == "Ωmega ✓"


@pytest.mark.parametrize("kind", kinds())
def test_special_tokens_are_left_out_of_texts(kind):
    """And named in tables."""
    tokenizer = learn_tokenizer(kind, ["a b"])
    (token,) = tokenizer.encode("a")
    assert tokenizer.decode([0, 2, token, 3]) == "a"
    assert [tokenizer.name_of(i) for i in range(5)] == list(SPECIAL_NAMES)
    assert tokenizer.name_of(token) == "a"


def test_bytes_that_are_no_text_are_replaced():
    """Half a character, as a model may write it."""
    tokenizer = learn_tokenizer("byte", [])
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_symbols_are_ranked_by_frequency():
    """Equal ones by themselves; what is not among them is unknown."""
    tokenizer = CharacterTokenizer.learn(["banana", "bb"], None)
    assert tokenizer.symbols == ["a", "b", "n"]
    assert tokenizer.encode("abx") == [5, 6, UNKNOWN]
    assert WordTokenizer.learn(["the cat the"], 6).symbols == ["the"]


def test_subwords_merge_what_is_frequent():
    """Fewer tokens than bytes; the size is what was asked for."""
    tokenizer = learn_tokenizer("subword", ["the heaven and the earth " * 3], 270)
    assert tokenizer.vocab_size == 270
    assert len(tokenizer.encode("the earth")) < len("the earth")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bytes", []), "tokenizer = 'bytes'\n  known: byte, character, word, subword"),
        (("byte", [], 300), "vocab_size = 300, and the tokenizer byte has 261"),
        (("subword", [], 100), "vocab_size = 100 has no room for all bytes"),
        (("character", [], 5), "vocab_size = 5 leaves no room"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    """With what is known."""
    with pytest.raises(InvalidValueError) as error:
        learn_tokenizer(*arguments)
    assert message in str(error.value)


def test_a_missing_package_is_named(monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match="need the package tokenizers") as error:
        learn_tokenizer("subword", ["a"])
    assert "pip install 'dlplug[text]'" in str(error.value)


def test_data_without_a_tokenizer_is_named():
    """Such as images."""
    with pytest.raises(DataError, match="the data has no tokenizer"):
        tokenizer_from_plain(None)


@pytest.mark.parametrize(
    "plain",
    [
        {"kind": "subword", "model": "{}"},
        {"kind": "subword", "model": 7},
        {"kind": "character", "command": "touch x"},
    ],
)
def test_a_description_that_is_none_is_refused(plain):
    """A checkpoint may come from anywhere."""
    with pytest.raises(DataError, match="description of"):
        tokenizer_from_plain(plain)
