"""Base of data modules of sequences with a label for each token."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from torch.utils.data import Dataset

from dlplug.data.bad_rows import BadRows
from dlplug.data.keys import Keys
from dlplug.data.text.padded import PaddedInputs, PaddedRecords, padded
from dlplug.data.text.symbol_tokenizer import SymbolTokenizer
from dlplug.data.text.token_data import TokenData
from dlplug.errors import DataError
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
