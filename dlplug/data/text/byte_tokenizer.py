"""The bytes of UTF-8 as tokens: nothing to learn, and no text that is unknown."""

from collections.abc import Iterable, Sequence
from typing import Any

from dlplug.data.text.tokenizer import NUM_SPECIAL, Tokenizer
from dlplug.errors import InvalidValueError


class ByteTokenizer(Tokenizer):
    """Byte b is token b + 5."""

    kind = "byte"
    vocab_size = 256 + NUM_SPECIAL

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int | None) -> "ByteTokenizer":
        """There is nothing to learn.

        Raises:
            InvalidValueError: a size is asked for.
        """
        if vocab_size is not None:
            raise InvalidValueError(
                f"data: vocab_size = {vocab_size}, and the tokenizer byte has {cls.vocab_size}",
                fix="delete vocab_size, or choose the tokenizer subword",
            )
        return cls()

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return [byte + NUM_SPECIAL for byte in text.encode()]

    def decode(self, tokens: Sequence[int]) -> str:
        """See `Tokenizer.decode`; bytes that are no UTF-8 become the replacement character."""
        found = bytes(token - NUM_SPECIAL for token in tokens if token >= NUM_SPECIAL)
        return found.decode(errors="replace")

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}
