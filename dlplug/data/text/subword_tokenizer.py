"""Frequent pieces of words as tokens: byte-level byte-pair encoding."""

from collections.abc import Iterable, Sequence
from typing import Any

from dlplug.data.text.tokenizer import NUM_SPECIAL, Tokenizer
from dlplug.errors import DataError, InvalidValueError

NUM_BYTES = 256
DEFAULT_SIZE = 2000


class SubwordTokenizer(Tokenizer):
    """Bytes, and merges of the most frequent neighbours; every text can be encoded.

    The special tokens are no entries of the library's vocabulary but stand before it: a text that
    spells out ``<padding>`` is encoded like any other.

    Args:
        model: The library's description, JSON.
    Raises:
        DataError: it is none, or the package tokenizers is not installed.
    References: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019 (bytes).
    """

    kind = "subword"

    def __init__(self, model: str):
        library = tokenizers_library()
        try:
            self._library = library.Tokenizer.from_str(model)
        except Exception as error:  # the library raises nothing more exact
            raise DataError(f"this is no description of a tokenizer: {error}") from error

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int | None) -> "SubwordTokenizer":
        """As many merges as there is room for; 2,000 tokens unless another number is given.

        Raises:
            InvalidValueError: there is no room for all bytes.
        """
        vocab_size = DEFAULT_SIZE if vocab_size is None else vocab_size
        if vocab_size < NUM_BYTES + NUM_SPECIAL:
            raise InvalidValueError(
                f"data: vocab_size = {vocab_size} has no room for all bytes",
                known=f"{NUM_BYTES + NUM_SPECIAL} or more",
            )
        library = tokenizers_library()
        # No space is put in front of a text: decoding gives back what was encoded.
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size - NUM_SPECIAL,
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    @property
    def vocab_size(self) -> int:
        """See `Tokenizer.vocab_size`; less than asked for where the texts have too few pairs."""
        return self._library.get_vocab_size() + NUM_SPECIAL

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return [token + NUM_SPECIAL for token in self._library.encode(text).ids]

    def decode(self, tokens: Sequence[int]) -> str:
        """See `Tokenizer.decode`."""
        return self._library.decode([t - NUM_SPECIAL for t in tokens if t >= NUM_SPECIAL])

    def state(self) -> dict[str, Any]:
        """The library's description."""
        return {"model": self._library.to_str()}


def tokenizers_library():
    """The package tokenizers.

    Raises:
        DataError: it is not installed.
    """
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise DataError(
            "the tokenizers subword and those of files need the package tokenizers, which is not"
            " installed",
            fix="pip install 'dlplug[text]'",
        ) from error
    return tokenizers
