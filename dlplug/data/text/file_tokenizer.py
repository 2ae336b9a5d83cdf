"""The tokenizer that another library saved beside its model: `tokenizer.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlplug.data.text.subword_tokenizer import tokenizers_library
from dlplug.data.text.tokenizer import Tokenizer
from dlplug.errors import DataError, InvalidValueError
from dlplug.nn.absent import PADDING

FILE = "tokenizer.json"
# Which of its tokens are special, beside the file, newer form first.
NAMES = ("tokenizer_config.json", "special_tokens_map.json")
START_NAMES, END_NAMES = ("bos_token", "cls_token"), ("eos_token", "sep_token")


class FileTokenizer(Tokenizer):
    """A tokenizer as its file describes it: vocabulary, lower-casing, special tokens, truncation.

    Its tokens keep the numbers of the file, but for one exchange: padding is token 0 everywhere in
    dlplug, so what the file calls 0 takes the place of the file's padding. A file without padding
    gets one more token for it. A text that spells out a special token is encoded like any other.

    Args:
        model: The file's content, JSON.
        padding: The file's own number of padding; None where it has none.
        start: Token that begins a document; None where there is none.
        end: Token that ends a document; None where there is none.
        mask: Token that stands for a hidden one; None where there is none.
    Raises:
        DataError: it is no such file, or the package tokenizers is not installed.
    """

    kind = "file"

    def __init__(
        self,
        model: str,
        padding: int | None = None,
        start: int | None = None,
        end: int | None = None,
        mask: int | None = None,
    ):
        library = tokenizers_library()
        try:
            self._library = library.Tokenizer.from_str(model)
        except Exception as error:  # the library raises nothing more exact
            raise DataError(f"this is no description of a tokenizer: {error}") from error
        self._state = {"model": model, "padding": padding, "start": start, "end": end, "mask": mask}
        self._library.no_padding()
        self._cut = self._library.truncation or {}
        self._library.no_truncation()
        # Otherwise a text could write the tokens that only dlplug and the file's template set.
        self._library.encode_special_tokens = True
        size = max(self._library.get_vocab().values(), default=-1) + 1
        self.padding = size if padding is None else padding
        self._size = max(size, self.padding + 1)
        self._exchange = {PADDING: self.padding, self.padding: PADDING}
        self.start_token, self.end_token, self.mask_token = map(self._exchanged, (start, end, mask))
        added = self._library.get_added_tokens_decoder()
        special = [number for number, token in added.items() if token.special]
        known = [*special, self.padding, *(t for t in (start, end, mask) if t is not None)]
        self.special_tokens = frozenset(map(self._exchanged, known))

    def __reduce__(self):
        # The library's own pickles forget ``encode_special_tokens``.
        return type(self), tuple(self._state.values())

    @classmethod
    def read(cls, path: Path) -> "FileTokenizer":
        """The tokenizer of a file, or of a folder with a ``tokenizer.json``.

        Which tokens pad, begin, end and mask is told by ``tokenizer_config.json`` or
        ``special_tokens_map.json`` beside it; without these, by the file's own padding and by what
        it puts around a text.

        Raises:
            DataError: there is none, or it is damaged.
        """
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise DataError(
                f"{path} has no {FILE}",
                known=", ".join(sorted(p.name for p in path.iterdir())[:20]) or "an empty folder",
                fix="save it there: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
            )
        try:
            model = file.read_text(encoding="utf-8")
            bare = cls(model)
        except (OSError, UnicodeDecodeError, DataError) as error:
            what = error.what if isinstance(error, DataError) else error
            raise DataError(f"{file} is no tokenizer: {what}") from error
        names = next((f for f in (file.parent / n for n in NAMES) if f.is_file()), None)
        found = bare._around() if names is None else bare._named(names)
        return cls(model, **found)

    @property
    def vocab_size(self) -> int:
        """See `Tokenizer.vocab_size`; one more than in the file where that has no padding."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return self._numbers(text, add_special_tokens=False)

    def encode_record(self, text: str, length: int) -> list[int]:
        """See `Tokenizer.encode_record`; the tokens around a text are never cut off.

        Raises:
            InvalidValueError: the file allows less than ``length`` tokens.
        """
        longest = self._cut.get("max_length", length)
        if length > longest:
            raise InvalidValueError(
                f"data: sequence_length = {length}, and the tokenizer's file cuts texts at"
                f" {longest} tokens",
                fix=f"set data.sequence_length: {longest}, or delete 'truncation' in the file",
            )
        around = self._library.num_special_tokens_to_add(is_pair=False)
        if length <= around:
            raise InvalidValueError(
                f"data: sequence_length = {length} leaves no room between the {around} tokens that"
                " the tokenizer's file puts around a text"
            )
        self._library.enable_truncation(**{**self._cut, "max_length": length})
        try:
            return self._numbers(text, add_special_tokens=True)
        finally:
            self._library.no_truncation()

    def decode(self, tokens: Sequence[int]) -> str:
        """See `Tokenizer.decode`."""
        kept = (self._exchanged(token) for token in tokens if token not in self.special_tokens)
        return self._library.decode([token for token in kept if token < self._size])

    def name_of(self, token: int) -> str:
        """See `Tokenizer.name_of`; as the file spells it."""
        return self._library.id_to_token(self._exchanged(token)) or super().name_of(token)

    def state(self) -> dict[str, Any]:
        """The file's content, and its own numbers of the special tokens."""
        return self._state

    def _numbers(self, text: str, add_special_tokens: bool) -> list[int]:
        found = self._library.encode(text, add_special_tokens=add_special_tokens).ids
        return [self._exchange.get(token, token) for token in found]

    def _exchanged(self, token: int | None) -> int | None:
        return self._exchange.get(token, token)

    def _around(self) -> dict[str, int | None]:
        """Special tokens as the file itself tells them."""
        padding = (json.loads(self._state["model"]).get("padding") or {}).get("pad_id")
        encoded = self._library.encode("a", add_special_tokens=True)
        mask = encoded.special_tokens_mask
        start = encoded.ids[0] if mask and mask[0] else None
        return {
            "padding": padding,
            "start": start,
            "end": encoded.ids[-1] if mask[-1:] == [1] else None,
        }

    def _named(self, file: Path) -> dict[str, int | None]:
        """Special tokens by the names in a file beside."""
        try:
            names = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file} is no JSON: {error}") from error

        def number(*keys: str) -> int | None:
            for key in keys:
                token = names.get(key)
                token = token.get("content") if isinstance(token, Mapping) else token
                if token is not None:
                    found = self._library.token_to_id(str(token))
                    if found is None:
                        raise DataError(f"{file}: {key} {token!r} is not in the vocabulary")
                    return found
            return None

        return {
            "padding": number("pad_token"),
            "start": number(*START_NAMES),
            "end": number(*END_NAMES),
            "mask": number("mask_token"),
        }
