"""One long text for language modelling, divided by position or by documents."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.division import WAYS
from dlplug.data.loader import evaluation_loader
from dlplug.data.records import ArrayRecords
from dlplug.data.text.documents import (
    check_key,
    divided_text,
    plain_text,
    read_documents,
    text_files,
)
from dlplug.data.text.jsonl_file import is_json_lines
from dlplug.data.text.token_data import TokenData
from dlplug.data.text.tokenizer import Tokenizer
from dlplug.data.text.windows import Windows
from dlplug.errors import DataError, InvalidValueError
from dlplug.nn.absent import PADDING


class Text(TokenData):
    """Windows of a text; batches of tokens ``(B, T)`` and next tokens ``(B, T)``, int64.

    The text is divided before it becomes tokens, and no window reaches across. The rest of a part,
    shorter than a window, is left out. By ``fraction`` it is divided by position: the first part
    trains, the last one tests. Otherwise documents are divided, whole, and put one after another in
    the order of the files. ``split_by`` is a regular expression with one group, searched in the
    path of each file below their common folder, such as ``'(train|valid|test)'``: then a file is
    a document. Without a parenthesis it names a field of JSON lines: then a line is a document.

    Args:
        path: A text file (UTF-8), a folder whose ``.txt`` files are read in the order of their
            names, ``package:NAME/inner/path``, or a list of these; they are put one after another.
        field: The files are JSON lines, and each line's text is that of this field.
        tokenizer, vocab_size: See `TokenData`.
        sequence_length: T.
        stride: Tokens from one training window to the next; None for T, so that each token is
            predicted once per epoch.
        contiguous: Read ``batch_size`` places of the text side by side and in order: row b of a
            batch goes on where row b of the batch before ended, for networks that keep their
            state. Windows that do not fill a batch are left out.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: a value out of range, or ``contiguous`` with another stride than T.
    """

    split_keys = dict.fromkeys(
        WAYS, "a field of JSON lines, or a regular expression with one group for the files' paths,"
    )

    def __init__(
        self,
        path: str | list[str],
        field: str | None = None,
        tokenizer: str = "byte",
        vocab_size: int | None = None,
        sequence_length: int = 256,
        stride: int | None = None,
        contiguous: bool = False,
        **loading,
    ):
        super().__init__(tokenizer, vocab_size, sequence_length, **loading)
        if stride is not None and stride < 1:
            raise InvalidValueError(f"data text: stride = {stride} is below 1 token")
        if contiguous and stride not in (None, sequence_length):
            raise InvalidValueError(
                f"data text: contiguous with stride = {stride}", fix="delete stride"
            )
        if contiguous and self.sampling != "uniform":
            raise InvalidValueError(f"data text: contiguous with sampling = {self.sampling!r}")
        self.division.refuse_role(field)
        check_key(self.division.key, field)
        self.paths = [path] if isinstance(path, str) else list(path)
        self.field = field
        self.stride = stride or sequence_length
        self.contiguous = contiguous

    def load(self) -> Mapping[str, Dataset]:
        """Read, divide, learn the tokenizer from the first part, cut into windows.

        Raises:
            DataError: a file is missing or no text, or there is too little text.
        """
        files = [file for path in self.paths for file in text_files(path, self.field)]
        parts = divided_text(files, self.field, self.division)
        tokenizer = self.learned_tokenizer([parts["train"]])
        tokens = {name: tensor_of(tokenizer, part) for name, part in parts.items()}
        for name, part in parts.items():
            # An empty part has been asked for by a share of 0.
            if part and len(tokens[name]) <= self.sequence_length:
                raise DataError(
                    f"data text: {len(tokens[name])} tokens to {WHAT_FOR[name]} on are fewer than"
                    f" one window of {self.sequence_length} and its next token",
                    fix="give more text, or a smaller data.sequence_length",
                )
        self.publish(tokenizer)
        length = self.sequence_length
        return {
            name: Windows(t, length, self.stride if name == "train" else length)
            for name, t in tokens.items()
        }

    def train_dataloader(self):
        """Shuffled windows; in order where they are contiguous."""
        return self._streams("train") if self.contiguous else super().train_dataloader()

    def _evaluation(self, name: str):
        if not self.contiguous or not len(self.split(name)):
            return super()._evaluation(name)
        return self._streams(name)

    def _streams(self, name: str):
        arguments = self._loader_arguments()
        streams = self.batch_size * arguments["world_size"]
        whole = self.split(name)
        windows = Windows(whole.tokens, whole.length, whole.length, streams)
        if not len(windows):
            raise DataError(
                f"data text: {len(whole)} windows to {WHAT_FOR[name]} on, for {streams} streams",
                fix="choose a smaller data.batch_size or data.sequence_length",
            )
        return evaluation_loader(windows, self.batch_size, **arguments)

    def read_input(self, path: Path) -> Dataset:
        """A text file, or the field of JSON lines, in windows of T tokens, the last one padded.

        Raises:
            ConfigError: JSON lines without a ``field``.
            DataError: it is empty, no text, or names file and line of a bad record.
        """
        path = Path(path)
        if self.field is not None and is_json_lines(path):
            text = "".join(document.text for document in read_documents(path, self.field))
        else:
            text = plain_text(path)
        tokens = tensor_of(self.saved_tokenizer(), text)
        if not len(tokens):
            raise DataError(f"{path} is empty")
        missing = -len(tokens) % self.sequence_length
        padded = torch.nn.functional.pad(tokens.long(), (0, missing), value=PADDING)
        return ArrayRecords(padded.view(-1, self.sequence_length))


WHAT_FOR = {"train": "train", "validation": "validate", "test": "test"}


def tensor_of(tokenizer: Tokenizer, text: str) -> Tensor:
    """Tokens of a text, shape ``(N,)``, int32, which takes half the memory of what models want."""
    return torch.tensor(tokenizer.encode(text), dtype=torch.int32)
