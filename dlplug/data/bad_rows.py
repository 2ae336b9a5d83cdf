"""Records that turn out to be bad while a file is read."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from dlplug.data.division import Division
from dlplug.data.keys import Keys
from dlplug.data.quarantine import SHOWN
from dlplug.errors import DataError, DlplugError

T = TypeVar("T")


class BadRows(dict[int, DlplugError]):
    """What is wrong with which record of a file; records are counted from 0.

    All of the file is read before anything is raised: who mends it sees everything at once.
    """

    def add(self, row: int, error: DlplugError) -> None:
        """Note a record; what was wrong with it first counts."""
        self.setdefault(row, error)

    def result(self, row: int, otherwise: T, function: Callable[..., T], *arguments: Any) -> T:
        """What ``function(*arguments)`` gives for a record; ``otherwise``, if it finds it bad."""
        try:
            return function(*arguments)
        except DataError as error:
            self.add(row, error)
            return otherwise

    def good(self, rows: Tensor) -> Tensor:
        """Those of ``rows`` that are not bad."""
        return rows[~torch.isin(rows, torch.tensor(list(self), dtype=torch.int64))]

    def check(self, allowed: int) -> None:
        """No more records are bad than may be.

        Args:
            allowed: How many may be.
        Raises:
            DlplugError: what is wrong with the first one, and with how many others.
        """
        if len(self) <= allowed:
            return
        first, *others = [self[row] for row in sorted(self)]
        if not others:
            raise first
        named = "; ".join(error.what for error in others[: SHOWN - 1])
        raise type(first)(
            f"{first.what} (and {len(others)} more: {named}"
            + ("; ...)" if len(others) >= SHOWN else ")"),
            where=first.where,
            known=first.known,
            fix=first.fix,
        ) from first

    def divided(
        self,
        division: Division,
        count: int,
        keys: Keys | None = None,
        classes: Tensor | None = None,
        apart: Mapping[str, Keys | None] | None = None,
    ) -> dict[str, Tensor]:
        """The division of all records, the bad ones among them; see `Division.rows`.

        Bad records keep their places, so that all others go where they would go if nothing were
        bad, as far as one can tell: a class that cannot be read, below 0, is one of its own, and
        where nobody knows what ``split_by`` says of a record, it is one of the training.
        """
        bad = sorted(row for row in self if row < count)
        if not bad:
            return division.rows(count, keys, classes, apart)
        if classes is not None:
            classes = torch.where(classes < 0, classes.max() + 1, classes)
        if division.by == "fraction":
            return division.rows(count, keys, classes, apart)
        good = self.good(torch.arange(count))
        known = Keys(
            [keys.values[row] for row in good.tolist()], lambda i: keys.place(int(good[i]))
        )
        rows = division.rows(len(good), known, None if classes is None else classes[good], apart)
        rows = {split: good[part] for split, part in rows.items()}
        return rows | {"train": torch.cat([rows["train"], torch.tensor(bad)]).sort().values}
