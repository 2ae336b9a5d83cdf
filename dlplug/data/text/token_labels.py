"""Labels of tokens in the columns of a file, as in the shared tasks of CoNLL."""

from pathlib import Path

from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.paths import resolve_path
from dlplug.data.text.conll_file import DOCUMENT, Sentence, sentences_of
from dlplug.data.text.labelled_tokens import LabelledTokens, Sequences
from dlplug.data.text.symbol_tokenizer import WordTokenizer
from dlplug.errors import DataError, InvalidValueError


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
