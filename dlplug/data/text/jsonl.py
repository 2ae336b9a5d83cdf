"""Texts in JSON lines, with a class each, or alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.bad_rows import BadRows
from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.paths import resolve_path
from dlplug.data.text.jsonl_file import checked_text, field_place, read_fields, texts_of
from dlplug.data.text.padded import PaddedInputs, PaddedRecords, padded
from dlplug.data.text.token_data import TokenData
from dlplug.data.text.tokenizer import Tokenizer
from dlplug.errors import DataError, InvalidValueError, suggestion
from dlplug.nn.absent import IGNORED, PADDING


class JSONL(TokenData):
    """One text in each line; batches of tokens ``(B, T)``, padded to the longest of the batch.

    With ``label``, targets are classes ``(B,)`` and every class has the same shares in all splits.
    Without, each text is a document to model, divided at random: it begins with the start token,
    ends with the end token, and targets are the next tokens ``(B, T)``, -100 where there is none.
    ``split_by`` names a field.

    Args:
        path: File, or ``package:NAME/inner/path``.
        text: Field of the text.
        label: Field of the class: a text, number or truth value. None for texts alone.
        classes: Names to put in place of labels, such as ``{Genesis: Old Testament}``; then each
            label must be among them.
        tokenizer, vocab_size: See `TokenData`.
        sequence_length: Tokens of a text, at most; what is longer is cut off.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: a value out of range, or ``classes`` without ``label``.
    """

    split_keys = dict.fromkeys(WAYS, "a field")

    def __init__(
        self,
        path: str,
        text: str = "text",
        label: str | None = None,
        classes: dict[str, str] | None = None,
        tokenizer: str = "byte",
        vocab_size: int | None = None,
        sequence_length: int = 256,
        **loading,
    ):
        super().__init__(tokenizer, vocab_size, sequence_length, **loading)
        if classes is not None and label is None:
            raise InvalidValueError("data jsonl: classes are given, and no field of the label")
        self.division.refuse_role(text, label)
        self.path = path
        self.text = text
        self.label = label
        self.classes = classes

    def load(self) -> Mapping[str, Dataset]:
        """Read the file, divide it, learn the tokenizer from the training texts.

        Raises:
            DataError: names file and line of a bad record.
        """
        bad = BadRows()
        texts, labels, keys = self._read(resolve_path(self.path), bad)
        names = self._class_names([label for label in labels if label is not None])
        index = {name: i for i, name in enumerate(names)}
        classes = torch.tensor([-1 if label is None else index[label] for label in labels])
        rows = self.divided(bad, len(texts), keys, classes)
        learned = bad.good(rows["train"]).tolist()
        tokenizer = self.learned_tokenizer([texts[row] for row in learned])
        if self.label is None:
            self.publish(tokenizer, prefix=present(tokenizer.start_token))
            inputs, targets = documents(texts, tokenizer, self.sequence_length)
        else:
            self.publish(tokenizer, num_classes=len(names), class_names=names)
            inputs, targets = self._encoded(texts, tokenizer), classes.clamp(min=0)
        return {name: PaddedRecords(inputs, targets, where) for name, where in rows.items()}

    def read_input(self, path: Path) -> Dataset:
        """JSON lines with the field of the text, or one text in each line of another file.

        Documents come with their next tokens, as in a split, so that a task asks the same of them.

        Raises:
            DataError: names file and line of a bad record, or there is none.
        """
        texts = [text for _, text in texts_of(Path(path), self.text)]
        if not texts:
            raise DataError(f"{path} holds no texts")
        tokenizer = self.saved_tokenizer()
        if self.label is not None:
            return PaddedInputs(self._encoded(texts, tokenizer))
        return PaddedRecords(*documents(texts, tokenizer, self.sequence_length))

    def _encoded(self, texts: Sequence[str], tokenizer: Tokenizer) -> Tensor:
        length = self.sequence_length
        return padded([tokenizer.encode_record(text, length) for text in texts], length)

    def _read(self, path: Path, bad: BadRows) -> tuple[list[str], list[str | None], Keys]:
        """Texts, labels and keys; of bad records, what could be read."""
        key = self.division.key
        fields = [field for field in (self.text, self.label, key) if field is not None]
        texts, labels, keys, numbers = [], [], [], []
        for row, (number, values) in enumerate(read_fields(path, fields, bad)):
            read = {} if values is None else dict(zip(fields, values, strict=True))
            text, label = "", "" if self.label is None else None
            if read:
                text = bad.result(row, "", checked_text, read[self.text], path, number, self.text)
            if read and self.label is not None:
                label = bad.result(row, None, self._class_of, read[self.label], path, number)
            texts.append(text)
            labels.append(label)
            keys.append(read.get(key))
            numbers.append(number)
        if not texts:
            raise DataError(f"{path} holds no records")
        self.check_rows(bad, len(texts))
        return texts, labels, Keys(keys, lambda row: field_place(path, numbers[row], key))

    def _class_of(self, value: object, path: Path, number: int) -> str:
        where = f"{path}, line {number}: {self.label}"
        if not isinstance(value, (str, int)) or value == "":
            raise DataError(
                f"{where} is {value!r}, which names no class", known="texts, whole numbers"
            )
        name = str(value)
        if self.classes is None:
            return name
        if name not in self.classes:
            raise DataError(
                f"{where} {name!r} is not among data.classes",
                known=", ".join(self.classes),
                fix=suggestion(name, self.classes),
            )
        return self.classes[name]

    def _class_names(self, labels: Sequence[str]) -> tuple[str, ...]:
        """In the order of their first record; those of the run where there is one.

        Raises:
            DataError: a label that the run does not know, or no two classes.
        """
        found = tuple(dict.fromkeys(labels))
        if self.label is None:
            return found
        if self.adopted is not None:
            names = self.adopted.class_names or ()
            for name in found:
                if name not in names:
                    raise DataError(
                        f"data jsonl: the label {name!r} is none of the trained classes",
                        known=", ".join(names),
                    )
            return names
        if len(found) < 2:
            raise DataError(f"data jsonl: every label is {found[0]!r}: there is nothing to learn")
        return found


def documents(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> tuple[Tensor, Tensor]:
    """Inputs and next tokens of documents, both ``(N, length)``; targets are -100 at padding.

    A document is start, text and end; of a text that is too long, what there is room for.
    """
    start, end = present(tokenizer.start_token), present(tokenizer.end_token)
    rows = padded([[*start, *tokenizer.encode(text), *end] for text in texts], length + 1)
    targets = rows[:, 1:].clone()
    targets[targets == PADDING] = IGNORED
    # The end token is nobody's input: nothing follows it. What begins a text may be the same one.
    inputs = rows[:, :-1].clone()
    if tokenizer.end_token is not None:
        inputs[:, 1:][inputs[:, 1:] == tokenizer.end_token] = PADDING
    return inputs, targets


def present(token: int | None) -> list[int]:
    """The token, where there is one."""
    return [] if token is None else [token]
