"""The one way in which data modules divide their records: `split` and `split_by`."""

import warnings
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from dlplug.data.keys import Keys
from dlplug.data.record_split import column_split, group_split, random_split, time_split
from dlplug.data.split import SPLITS, position_split, stratified_split
from dlplug.errors import DataError, InvalidValueError

WAYS = ("column", "group", "time")


class Division:
    """How the records of a data module become train, validation and test.

    Args:
        by: ``fraction``, ``column``, ``group`` or ``time``.
        key: What says the split, group or time of a record; None for ``fraction``.
        known: What ``key`` names, in words, for each way that the data module knows besides
            ``fraction``.
        validation_fraction: Share kept for validation.
        test_fraction: Share kept for the test.
        seed: Of a division by chance, or by the hashes of groups.
    Raises:
        InvalidValueError: the data module does not know that way, a key is missing or has no use,
            the seed has none, or chance takes none such.
    """

    def __init__(
        self,
        by: str,
        key: str | int | None,
        known: Mapping[str, str],
        *,
        validation_fraction: float,
        test_fraction: float,
        seed: int,
    ):
        if by not in ("fraction", *known):
            raise InvalidValueError(f"data: split = {by!r}", known=", ".join(("fraction", *known)))
        if by == "fraction" and key is not None:
            raise InvalidValueError(
                f"data: split_by = {key!r} with split = 'fraction'",
                fix=f"set data.split to {' or '.join(known)}" if known else "delete data.split_by",
            )
        if by != "fraction" and key is None:
            raise InvalidValueError(
                f"data: split = {by!r} without split_by", fix=f"name {known[by]} in data.split_by"
            )
        if by in ("column", "time"):
            _refuse_seed(seed, f"split = {by!r}")
        if by == "fraction" and not 0 <= seed < 2**32:
            raise InvalidValueError(f"data: split_seed = {seed}", known="0 to 2**32 - 1")
        self.by = by
        self.key = None if key is None else str(key)
        self.fractions = (validation_fraction, test_fraction)
        self.seed = seed

    def refuse_role(self, *used: str | None) -> None:
        """The key is none of the columns or fields that are inputs or targets.

        Raises:
            InvalidValueError: it is one of ``used``.
        """
        if self.key is not None and self.key in used:
            raise InvalidValueError(
                f"data: split_by = {self.key!r} is an input or a target",
                fix="let each column or field have one role",
            )

    def rows(
        self,
        count: int,
        keys: Keys | None = None,
        classes: Tensor | None = None,
        apart: Mapping[str, Keys | None] | None = None,
    ) -> dict[str, Tensor]:
        """Positions of the records of each split, ascending, int64.

        Args:
            count: Number of records.
            keys: What `key` names of each; None for ``fraction``.
            classes: Of each record ``(N,)``: a fraction is then one of each class.
            apart: Splits whose records come from elsewhere, so that none of these go there; with
                their keys, where they have some: no group may be on both sides.
        Raises:
            DataError: a key is missing or says something else, nothing is left to train on, or a
                group stands on both sides.
            InvalidValueError: the fractions leave nothing to train on, or nothing is to be divided.
        """
        apart = apart or {}
        shares = [
            0.0 if name in apart else share
            for name, share in zip(SPLITS[1:], self.fractions, strict=True)
        ]
        if self.by == "fraction":
            if classes is None:
                rows, few = random_split(count, *shares, self.seed), "records"
            else:
                rows, few = stratified_split(classes, *shares, self.seed), "records of each class"
            self._check(rows, shares, few)
            return rows
        if not set(SPLITS[1:]) - set(apart):
            raise InvalidValueError(
                f"data: split = {self.by!r}, but validation and test records are given apart",
                fix="delete data.split and data.split_by",
            )
        if self.by == "column":
            rows = column_split(self._splits(keys, apart))
        elif self.by == "group":
            groups = keys.texts("group")
            rows = group_split(groups, *shares, self.seed)
            _refuse_shared(groups, keys, apart)
        else:
            rows = time_split(keys.times(), *shares)
        self._check(rows, shares, f"{self.by}s")
        return rows

    def ranges(self, count: int, keys: Keys | None = None) -> dict[str, range]:
        """Positions of what stands in an order, such as a series: first train, last test.

        Args:
            count: Number of positions.
            keys: The split of each position for ``column``; None for ``fraction``.
        Raises:
            DataError: a split is missing, or they do not follow each other.
            InvalidValueError: the fractions leave nothing to train on, or the seed has no use.
        """
        if keys is None:
            _refuse_seed(self.seed, "a division by position")
            return position_split(count, *self.fractions)
        splits = keys.splits()
        order = [SPLITS.index(split) for split in splits]
        late = next((i for i in range(1, count) if order[i] < order[i - 1]), None)
        if late is not None:
            raise DataError(
                f"{keys.place(late)}: {splits[late]} after {splits[late - 1]}",
                known=f"{', '.join(SPLITS)}, one after the other",
            )
        sizes = Counter(splits)
        validation, test = sizes["train"], count - sizes["test"]
        parts = (range(validation), range(validation, test), range(test, count))
        return dict(zip(SPLITS, parts, strict=True))

    def _splits(self, keys: Keys, apart: Mapping) -> list[str]:
        splits = keys.splits()
        for record, split in enumerate(splits):
            if split in apart:
                raise DataError(
                    f"{keys.place(record)}: the {split} records are given apart, and this is one",
                    fix=f"let it say something else, or give no {split} records apart",
                )
        return splits

    def _check(self, rows: Mapping[str, Tensor], shares: list[float], few: str) -> None:
        asked = f"data: split = {self.by!r}"
        if self.key is not None:
            asked += f", split_by = {self.key!r}"
        if not len(rows["train"]):
            raise DataError(f"{asked} leaves no training records")
        for name, share in zip(SPLITS[1:], shares, strict=True):
            if self.by != "column" and share and not len(rows[name]):
                warnings.warn(
                    f"{asked} leaves no {name} records: there are too few {few} for"
                    f" {name}_fraction = {share}",
                    stacklevel=4,
                )


def _refuse_seed(seed: int, what: str) -> None:
    if seed:
        raise InvalidValueError(
            f"data: split_seed = {seed} has no influence on {what}", fix="delete data.split_seed"
        )


def _refuse_shared(groups: list[str], keys: Keys, apart: Mapping[str, Keys | None]) -> None:
    """No group is among the records that are given apart as well."""
    for name, others in apart.items():
        shared = set(groups) & set(others.texts("group")) if others is not None else set()
        if shared:
            record = next(i for i, group in enumerate(groups) if group in shared)
            raise DataError(
                f"{keys.place(record)}: the group {groups[record]!r} is among the {name} records,"
                " which are given apart",
                fix="move all records of a group to one side",
            )
