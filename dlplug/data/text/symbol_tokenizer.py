"""Characters or words as tokens: the vocabulary is what the training texts hold."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from dlplug.data.text.tokenizer import NUM_SPECIAL, Tokenizer
from dlplug.errors import InvalidValueError
from dlplug.nn.absent import UNKNOWN


class SymbolTokenizer(Tokenizer):
    """Each symbol has a token; those that the training texts lack are unknown.

    Args:
        symbols: In the order of their tokens, from 5 on.
    """

    separator = ""
    """What stands between two symbols in a text."""

    def __init__(self, symbols: Sequence[str]):
        self.symbols = list(symbols)
        self.tokens = {symbol: i for i, symbol in enumerate(self.symbols, NUM_SPECIAL)}

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int | None) -> "SymbolTokenizer":
        """The symbols of the texts; the most frequent ones where there is a limit.

        Raises:
            InvalidValueError: the limit leaves no room for a symbol.
        """
        return cls.learn_symbols(map(cls.split, texts), vocab_size)

    @classmethod
    def learn_symbols(
        cls, sequences: Iterable[Iterable[str]], vocab_size: int | None
    ) -> "SymbolTokenizer":
        """As `learn`, from texts that are divided into symbols already."""
        if vocab_size is not None and vocab_size <= NUM_SPECIAL:
            raise InvalidValueError(
                f"data: vocab_size = {vocab_size} leaves no room after {NUM_SPECIAL} special tokens"
            )
        counts: Counter[str] = Counter()
        for symbols in sequences:
            counts.update(symbols)
        # Equally frequent ones by themselves, so that the order of the texts plays no part.
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        return cls(ranked if vocab_size is None else ranked[: vocab_size - NUM_SPECIAL])

    @staticmethod
    def split(text: str) -> Iterable[str]:
        """The symbols of a text."""
        return text

    @property
    def vocab_size(self) -> int:
        """See `Tokenizer.vocab_size`."""
        return len(self.symbols) + NUM_SPECIAL

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return self.encode_symbols(self.split(text))

    def encode_symbols(self, symbols: Iterable[str]) -> list[int]:
        """Tokens of symbols, one for each."""
        return [self.tokens.get(symbol, UNKNOWN) for symbol in symbols]

    def decode(self, tokens: Sequence[int]) -> str:
        """See `Tokenizer.decode`."""
        known = (t - NUM_SPECIAL for t in tokens if t >= NUM_SPECIAL)
        return self.separator.join(self.symbols[index] for index in known)

    def state(self) -> dict[str, Any]:
        """The symbols."""
        return {"symbols": self.symbols}


class CharacterTokenizer(SymbolTokenizer):
    """Characters (Unicode code points)."""

    kind = "character"


class WordTokenizer(SymbolTokenizer):
    """What white space separates."""

    kind = "word"
    separator = " "

    @staticmethod
    def split(text: str) -> Iterable[str]:
        """The words of a text."""
        return text.split()
