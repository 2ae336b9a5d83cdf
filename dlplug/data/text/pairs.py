"""Pairs of texts: a source, and what is to be written for it."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.bad_rows import BadRows
from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.paths import resolve_path
from dlplug.data.records import ArrayRecords, Records
from dlplug.data.text.jsonl_file import checked_text, is_json_lines, read_fields, texts_of
from dlplug.data.text.padded import PaddedInputs, padded, width_of
from dlplug.data.text.token_data import TokenData, text_lines
from dlplug.data.text.tokenizer import Tokenizer
from dlplug.errors import DataError, InvalidValueError
from dlplug.nn.absent import IGNORED, PADDING


class PairRecords(Records):
    """Pairs of tokens, as wide as the longest of each batch."""

    def __getitems__(self, positions: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Source ``(B, s)`` and target ``(B, t)``, and next target tokens ``(B, t)``, int64."""
        inputs, following = super().__getitems__(positions)
        source, target = inputs["source"], inputs["target"]
        width = width_of(target)
        batch = {"source": source[:, : width_of(source)].long(), "target": target[:, :width].long()}
        return batch, following[:, :width].long()


class SourceInputs(PaddedInputs):
    """Sources alone."""

    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """Source ``(B, s)`` int64."""
        return {"source": super().__getitems__(positions)}


class PairData(TokenData):
    """Base of data of pairs; a subclass gives `read_pairs`.

    Batches are ``({"source": (B, S), "target": (B, T)}, next (B, T))``: the target begins with the
    start token, the next tokens end with the end token, and are -100 at padding.

    Args:
        tokenizer: See `TokenData`; sources and targets have one vocabulary.
        vocab_size: See `TokenData`.
        sequence_length: Tokens of a source, and of a target with its end token, at most.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    """

    def __init__(
        self,
        tokenizer: str = "character",
        vocab_size: int | None = None,
        sequence_length: int = 64,
        **loading,
    ):
        super().__init__(tokenizer, vocab_size, sequence_length, **loading)
        self.bad = BadRows()

    @abstractmethod
    def read_pairs(self) -> tuple[list[tuple[str, str]], list[str], Keys | None]:
        """All pairs, in words where each stands, and what ``split_by`` names, if anything.

        It tells ``self.bad`` of those that are bad, and gives ``("", "")`` for them.
        """

    def read_sources(self, path: Path) -> Iterable[tuple[int, str]]:
        """Line number, from 1, and source: here of each line of a text file that is not empty."""
        return text_lines(path)

    def load(self) -> Mapping[str, Dataset]:
        """Read, divide, learn the tokenizer from the training pairs.

        Raises:
            DataError: names a pair that is damaged or too long.
        """
        pairs, places, keys = self.read_pairs()
        rows = self.divided(self.bad, len(pairs), keys)
        training = [text for row in self.bad.good(rows["train"]).tolist() for text in pairs[row]]
        tokenizer = self.learned_tokenizer(training)
        start, end = _ends(tokenizer)
        self.publish(tokenizer)
        long = BadRows()
        sources = self._encoded([source for source, _ in pairs], places, bad=long)
        targets = self._encoded([target for _, target in pairs], places, [end], long)
        self.check_rows(long, len(pairs))
        self.leave_out(long, rows)
        following = targets.masked_fill(targets == PADDING, IGNORED)
        # The end token is nobody's input: nothing follows it.
        earlier = targets[:, :-1].masked_fill(targets[:, :-1] == end, PADDING)
        shifted = torch.cat([torch.full_like(targets[:, :1], start), earlier], dim=1)
        inputs = {"source": sources, "target": shifted}
        return {name: PairRecords(inputs, following, where) for name, where in rows.items()}

    def read_input(self, path: Path) -> ArrayRecords:
        """Sources of a file; targets in it are not read.

        Raises:
            DataError: there is none, or one is too long.
        """
        sources = self.read_sources(Path(path))
        found = [(source, f"{path}, line {number}") for number, source in sources]
        if not found:
            raise DataError(f"{path} holds no texts")
        return SourceInputs(self._encoded(*map(list, zip(*found, strict=True))))

    def _encoded(
        self,
        texts: list[str],
        places: list[str],
        end: Sequence[int] = (),
        bad: BadRows | None = None,
    ) -> Tensor:
        """Tokens ``(N, T)``; ``bad`` is told of texts that are too long, or they are errors."""
        tokenizer, longest = self.saved_tokenizer(), self.sequence_length
        rows = [[*tokenizer.encode(text), *end] for text in texts]
        long = BadRows() if bad is None else bad
        for number, (row, text, place) in enumerate(zip(rows, texts, places, strict=True)):
            if len(row) > longest:
                error = DataError(
                    f"{place}: {text[:30]!r} has {len(row)} tokens, data.sequence_length is"
                    f" {longest}",
                    fix="delete what is too long, or set data.sequence_length higher",
                )
                long.add(number, error)
        if bad is None:
            long.check(0)
        return padded(rows, longest)


class Pairs(PairData):
    """Pairs of texts of a file.

    ``split_by`` names a field in JSON lines. Columns have no names: there it is the number of a
    further column, ``'2'`` for the third one, which is then the last.

    Args:
        path: File, or ``package:NAME/inner/path``: ``.jsonl``, or two columns divided by a tab.
        source: Field of the source, in JSON lines.
        target: Field of the target.
        tokenizer, vocab_size, sequence_length, loading: See `PairData`.
    Raises:
        InvalidValueError: a value out of range.
    """

    split_keys = dict.fromkeys(WAYS, "a field, or the number of a column,")

    def __init__(
        self,
        path: str,
        source: str = "source",
        target: str = "target",
        tokenizer: str = "character",
        vocab_size: int | None = None,
        sequence_length: int = 64,
        **loading,
    ):
        super().__init__(tokenizer, vocab_size, sequence_length, **loading)
        self.path, self.fields = path, [source, target]
        if Path(path).suffix == ".jsonl":
            self.division.refuse_role(source, target)
        else:
            check_column(self.division.key)

    def read_pairs(self) -> tuple[list[tuple[str, str]], list[str], Keys]:
        """See `PairData.read_pairs`.

        Raises:
            DataError: names file and line of what is no pair.
        """
        path = resolve_path(self.path)
        key = self.division.key
        if path.suffix == ".jsonl":
            read = read_fields(path, self.fields + [key] * (key is not None), self.bad)
        else:
            read = columns(path, None if key is None else int(key), self.bad)
        pairs, places, keys = [], [], []
        for row, (number, values) in enumerate(read):
            # Of a bad line there is nothing.
            source, target, *further = values or ["", "", *[None] * (key is not None)]
            named = zip((source, target), self.fields, strict=True)
            pairs.append(
                tuple(
                    self.bad.result(row, "", checked_text, value, path, number, field)
                    for value, field in named
                )
            )
            places.append(f"{path}, line {number}")
            keys += further
        if not pairs:
            raise DataError(f"{path} holds no pairs")
        what = "field" if path.suffix == ".jsonl" else "column"
        return pairs, places, Keys(keys, lambda row: f"{places[row]}, {what} {key!r}")

    def read_sources(self, path: Path) -> Iterable[tuple[int, str]]:
        """Of JSON lines the field, else the first column, or the line where pairs are JSON lines.

        Raises:
            DataError: names file and line of a bad record.
        """
        source = self.fields[0]
        if is_json_lines(path) or Path(self.path).suffix == ".jsonl":
            yield from texts_of(path, source)
            return
        for number, line in text_lines(path):
            yield number, checked_text(line.partition("\t")[0], path, number, source)


def _ends(tokenizer: Tokenizer) -> tuple[int, int]:
    """Its start and end token.

    Raises:
        DataError: it lacks one; those that are learned have both.
    """
    start, end = tokenizer.start_token, tokenizer.end_token
    if start is None or end is None:
        raise DataError(
            f"the tokenizer's file has no token to {'begin' if start is None else 'end'} a text"
            " with, and the target of a pair needs one",
            fix="choose another tokenizer, such as subword",
        )
    return start, end


def check_column(split_by: str | None) -> None:
    """``split_by`` is None, or the number of a column behind source and target.

    Raises:
        InvalidValueError: it is not.
    """
    if split_by is not None and not (split_by.isdecimal() and int(split_by) > 1):
        raise InvalidValueError(
            f"data pairs: split_by = {split_by!r} is no column of a file whose columns have no"
            " names",
            known="numbers from 2 on: 0 is the source, 1 the target",
            fix="write '2' for the third column, or take JSON lines, whose fields have names",
        )


def columns(
    path: Path, third: int | None = None, bad: BadRows | None = None
) -> Iterator[tuple[int, list[str] | None]]:
    """Line number, from 1, source and target of each line that is not empty, and one more column.

    Args:
        path: A file of UTF-8.
        third: Number of the further column; None for files of two columns.
        bad: Told of the lines with another number of columns, whose values are None; without it,
            they are errors.
    Raises:
        DataError: names file and line of another number of columns.
    """
    width = 2 if third is None else third + 1
    for row, (number, line) in enumerate(text_lines(path)):
        values = line.split("\t")
        if len(values) == width:
            yield number, values[:2] + ([values[third]] if third else [])
            continue
        error = DataError(
            f"{path}, line {number}: {len(values)} columns",
            known="two, divided by a tab: source and target"
            + (f"; {width} with data.split_by {third}" if third else ""),
        )
        if bad is None:
            raise error
        bad.add(row, error)
        yield number, None
