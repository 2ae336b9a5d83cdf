"""What each record says about its split, its group or its time, with every bad value named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from dlplug.data.split import SPLIT_NAMES
from dlplug.data.times import EXAMPLES, read_time
from dlplug.errors import DataError

NAMES = {name: split for split, names in SPLIT_NAMES.items() for name in names}


@dataclass(frozen=True)
class Keys:
    """The values that ``split_by`` names, one for each record.

    Args:
        values: Texts, numbers or dates; None, NaN or an empty text where there is none.
        place: Where the value of a record stands, in words: ``a.csv, line 3, column 'patient'``.
    """

    values: Sequence[object] | np.ndarray
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.values)

    def splits(self) -> list[str]:
        """The split of each record, by the names that people use: `SPLIT_NAMES`.

        Raises:
            DataError: a value is missing, or is none of these names.
        """
        texts = self.texts("split")
        known = {text: NAMES.get(text.lower()) for text in set(texts)}
        if None in known.values():
            record = next(i for i, text in enumerate(texts) if known[text] is None)
            raise self._bad(record, f"{texts[record]!r} is no split", ", ".join(NAMES))
        return [known[text] for text in texts]

    def texts(self, what: str) -> list[str]:
        """The values as texts, without blanks around them.

        Args:
            what: They are, for the message: ``group``.
        Raises:
            DataError: a value is missing, or neither a text, a number nor a date.
        """
        texts = []
        for record, value in enumerate(self.values):
            if value is not None and not isinstance(value, (str, int, float, date)):
                raise self._bad(record, f"{str(value)[:40]} is no text, number or date")
            # NaN is the one value that differs from itself.
            text = "" if value is None or value != value else str(value).strip()
            if not text:
                raise self._bad(record, f"the {what} is missing")
            texts.append(text)
        return texts

    def times(self) -> np.ndarray:
        """The values as what can be sorted, shape ``(N,)``: numbers, or microseconds since 1970.

        Raises:
            DataError: a value is missing, no time, or not of the kind of the first one.
        """
        if isinstance(self.values, np.ndarray) and self.values.dtype.kind == "f":
            for record in np.flatnonzero(np.isnan(self.values))[:1]:
                raise self._bad(int(record), "the time is missing")
            return self.values
        texts = self.texts("time")
        # Records of one day share their text: each is read once.
        read = {text: read_time(text) for text in dict.fromkeys(texts)}
        kind_of = {text: time and time.kind for text, time in read.items()}
        kinds = list(dict.fromkeys(kind_of.values()))
        if kinds and (len(kinds) > 1 or kinds[0] is None):
            record = next(i for i, t in enumerate(texts) if kind_of[t] in (None, *kinds[1:]))
            kind = kind_of[texts[record]]
            what = f"a {kind}, and the first time is a {kinds[0]}" if kind else "no time"
            raise self._bad(record, f"{texts[record]!r} is {what}", EXAMPLES)
        return np.array([read[text].moment for text in texts])

    def faults(self, by: str) -> dict[int, DataError]:
        """What is wrong with which records, each by itself.

        Args:
            by: They are divided by ``column``, ``group`` or ``time``.
        """
        found = {}
        for record, value in enumerate(self.values):
            one = Keys([value], lambda _, record=record: self.place(record))
            try:
                READ[by](one)
            except DataError as error:
                found[record] = error
        return found

    def _bad(self, record: int, what: str, known: str | None = None) -> DataError:
        return DataError(f"{self.place(record)}: {what}", known=known)


READ = {"column": Keys.splits, "group": lambda keys: keys.texts("group"), "time": Keys.times}
