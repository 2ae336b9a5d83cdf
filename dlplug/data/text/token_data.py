"""Base of data modules of texts: the tokenizer, and how a saved one is found again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dlplug.data.spec import DataSpec
from dlplug.data.split_data import SplitData
from dlplug.data.text.tokenizer import (
    Tokenizer,
    check_kind,
    learn_tokenizer,
    tokenizer_from_plain,
)
from dlplug.errors import DataError, InvalidValueError


class TokenData(SplitData):
    """Texts as tokens; a subclass gives `load`, which calls `publish`, and `read_input`.

    Args:
        tokenizer: ``byte``, ``character``, ``word`` or ``subword``, learned from the training
            texts alone; or a path, such as ``./model`` or ``package:NAME/model``: of a
            ``tokenizer.json``, or of a folder with one, which is used as it is.
        vocab_size: Number of tokens, of ``subword`` (2,000 unless given), or at most, of
            ``character`` and ``word``.
        sequence_length: Tokens of a record, at most.
        num_sentinels: Tokens at the end of the vocabulary, besides those of the tokenizer, that
            stand for spans which a task leaves out; see the task ``language_modelling``.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: a value out of range.
    """

    learns = ("tokenizer",)

    def __init__(
        self,
        tokenizer: str = "byte",
        vocab_size: int | None = None,
        sequence_length: int = 256,
        num_sentinels: int = 0,
        **loading,
    ):
        super().__init__(**loading)
        check_kind(tokenizer)
        if sequence_length < 2:
            raise InvalidValueError(
                f"data: sequence_length = {sequence_length} is below 2 tokens",
            )
        if num_sentinels < 0:
            raise InvalidValueError(f"data: num_sentinels = {num_sentinels} is below 0")
        self.kind = tokenizer
        self.vocab_size = vocab_size
        self.sequence_length = sequence_length
        self.num_sentinels = num_sentinels
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Vocabulary, length and special tokens, once the texts have been read."""
        return self._spec or self.adopted

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        return {"tokenizer": self.kind, "vocab_size": self.vocab_size}

    def learned_tokenizer(self, texts: Iterable[str]) -> Tokenizer:
        """The run's tokenizer if there is one, else one of these training texts."""
        if self.adopted is not None:
            return self.saved_tokenizer()
        return learn_tokenizer(self.kind, texts, self.vocab_size)

    def saved_tokenizer(self) -> Tokenizer:
        """The tokenizer in the data spec.

        Raises:
            DataError: nothing has been learned yet.
        """
        spec = self.data_spec
        return tokenizer_from_plain(spec and (spec.preparation or {}).get("tokenizer"))

    def publish(self, tokenizer: Tokenizer, prefix: Sequence[int] = (), **facts: Any) -> None:
        """Set the data spec.

        Args:
            tokenizer: Of the training texts.
            prefix: Tokens that every text begins with.
            facts: Further fields.
        """
        self._spec = DataSpec(
            vocab_size=tokenizer.vocab_size + self.num_sentinels,
            num_sentinels=self.num_sentinels or None,
            sequence_length=self.sequence_length,
            start_token=tokenizer.start_token,
            end_token=tokenizer.end_token,
            mask_token=tokenizer.mask_token,
            preparation=self.preparation(tokenizer=tokenizer.to_plain(), prefix=list(prefix)),
            **facts,
        )


def text_lines(path: Path) -> list[tuple[int, str]]:
    """Number, from 1, and content of each line of a UTF-8 file that is not empty.

    Raises:
        DataError: see `read_text`.
    """
    return [(n, line) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        DataError: it cannot be read, or holds other bytes; names their line.
    """
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is no UTF-8",
            fix="convert the file: iconv -f LATIN1 -t UTF-8",
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
