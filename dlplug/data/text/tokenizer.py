"""What all tokenizers have in common, and how one is learned, kept and found again."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlplug.errors import DataError, InvalidValueError, suggestion

# The first tokens of every vocabulary, whether they are used or not, so that a model's special
# tokens do not depend on its tokenizer. Before these come PADDING and UNKNOWN of
# `dlplug.nn.absent`.
START, END, MASK = 2, 3, 4
NUM_SPECIAL = 5
SPECIAL_NAMES = ("<padding>", "<unknown>", "<start>", "<end>", "<mask>")


class Tokenizer(ABC):
    """Text as a list of numbers, and back.

    Tokens 0 to 4 are special: padding, unknown, start, end, mask. No text is ever encoded as one
    of them, except as unknown, and `decode` leaves them out. A vocabulary that comes from elsewhere
    (`FileTokenizer`) has special tokens of its own; 0 is padding there, too.
    """

    kind: str
    """Name in configs."""
    start_token: int | None = START
    """Begins a document; None where the vocabulary has no such token."""
    end_token: int | None = END
    """Ends a document."""
    mask_token: int | None = MASK
    """Stands for a token that is hidden from the model."""
    special_tokens: frozenset[int] = frozenset(range(NUM_SPECIAL))
    """Tokens that no text is encoded as, and that `decode` leaves out."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of different tokens, the special ones included."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without start and end."""

    def encode_record(self, text: str, length: int) -> list[int]:
        """At most ``length`` tokens of a text, and of what the tokenizer puts around it, if so."""
        return self.encode(text)[:length]

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens; special ones are left out."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Plain data from which ``type(self)(**state)`` is the same tokenizer."""

    def name_of(self, token: int) -> str:
        """One token as text, for tables: special ones by their names."""
        return SPECIAL_NAMES[token] if token < NUM_SPECIAL else self.decode([token])

    def to_plain(self) -> dict[str, Any]:
        """Plain data for `tokenizer_from_plain`."""
        return {"kind": self.kind, **self.state()}


def check_kind(kind: str) -> None:
    """There is such a tokenizer, or it is the path of one.

    Raises:
        InvalidValueError: there is not.
    """
    if not is_path(kind):
        _class_of(kind)


def learn_tokenizer(kind: str, texts: Iterable[str], vocab_size: int | None = None) -> Tokenizer:
    """A tokenizer of the training texts, or that of a file.

    Args:
        kind: One of `kinds`, or a path.
        texts: Of the training split alone.
        vocab_size: Largest number of tokens, the special ones included; for kinds whose vocabulary
            has a natural end, None is no limit.
    Raises:
        InvalidValueError: there is no such kind, or it takes no such size.
        DataError: a package or a file is missing.
    """
    if is_path(kind):
        return _tokenizer_of_file(kind, vocab_size)
    return _class_of(kind).learn(texts, vocab_size)


def tokenizer_from_plain(plain: Mapping[str, Any] | None) -> Tokenizer:
    """The tokenizer that `Tokenizer.to_plain` described.

    Raises:
        DataError: it is no such description.
    """
    if not isinstance(plain, Mapping) or "kind" not in plain:
        raise DataError("the data has no tokenizer", fix="use data of texts, such as data text")
    state = {name: value for name, value in plain.items() if name != "kind"}
    from dlplug.data.text.file_tokenizer import FileTokenizer

    is_of_file = plain["kind"] == FileTokenizer.kind
    cls = FileTokenizer if is_of_file else _class_of(str(plain["kind"]))
    try:
        return cls(**state)
    except (TypeError, ValueError) as error:
        raise DataError(f"the description of the tokenizer {cls.kind} is none: {error}") from error


def kinds() -> dict[str, type]:
    """The classes of tokenizers that are learned, by their names in configs."""
    from dlplug.data.text.byte_tokenizer import ByteTokenizer
    from dlplug.data.text.subword_tokenizer import SubwordTokenizer
    from dlplug.data.text.symbol_tokenizer import CharacterTokenizer, WordTokenizer

    classes = (ByteTokenizer, CharacterTokenizer, WordTokenizer, SubwordTokenizer)
    return {cls.kind: cls for cls in classes}


def is_path(kind: str) -> bool:
    """Whether a config's ``tokenizer`` is the place of a file: it has a slash or ends in .json."""
    return "/" in kind or "\\" in kind or kind.endswith(".json") or kind in (".", "..")


def _tokenizer_of_file(path: str, vocab_size: int | None) -> Tokenizer:
    from dlplug.data.paths import resolve_path
    from dlplug.data.text.file_tokenizer import FileTokenizer

    found = FileTokenizer.read(resolve_path(path))
    if vocab_size is not None:
        raise InvalidValueError(
            f"data: vocab_size = {vocab_size}, and the tokenizer {path} has {found.vocab_size}",
            fix="delete vocab_size",
        )
    return found


def _class_of(kind: str) -> type:
    known = kinds()
    if kind not in known:
        raise InvalidValueError(
            f"data: tokenizer = {kind!r}",
            known=f"{', '.join(known)}, or the path of a tokenizer.json or of its folder: ./NAME",
            fix=suggestion(kind, known),
        )
    return known[kind]
