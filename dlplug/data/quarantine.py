"""Which records are bad, how many may be, and where they are listed."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from dlplug.errors import DataError, DlplugError, InvalidValueError

FILE = "quarantine.jsonl"
# Bad records that an error names, at most.
SHOWN = 3
# Gets the position of a bad record and what is wrong with it; raises where none may be bad.
LeaveOut = Callable[[int, DlplugError], None]


@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be read.

    Args:
        split: ``train``, ``validation`` or ``test``.
        position: In the split, from 0.
        error: What is wrong with it.
    """

    split: str
    position: int
    error: DlplugError

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        return {"split": self.split, "record": self.position, "reason": self.error.what}


class Quarantine:
    """The bad records of a data module, those of all splits together.

    Each is named once on standard error and once in the file. All of this happens in the training
    process; processes that read ahead have a copy.

    Args:
        share: Of all records that may be bad, in ``[0, 1)``.
    Raises:
        InvalidValueError: ``share`` is out of range.
    """

    def __init__(self, share: float = 0.0):
        if not 0 <= share < 1:
            raise InvalidValueError(
                f"data: quarantine = {share}", known="0, or a share of the records below 1"
            )
        self.share = share
        self.total: int | None = None
        self.file: Path | None = None
        self._records: dict[tuple[str, int], BadRecord] = {}
        self._positions: dict[str, set[int]] = {}
        self._listed: set[str] = set()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def allowed(self) -> int:
        """How many records may be bad."""
        return self.allowed_of(self.total or 0)

    def allowed_of(self, total: int) -> int:
        """How many of so many records may be bad."""
        # 0.29 * 100 is a little less than 29.
        return int(round(self.share * total, 6))

    def positions(self, split: str) -> set[int]:
        """Of the bad records of a split: always the same set, which grows."""
        return self._positions.setdefault(split, set())

    def leave_out(self, bad: BadRecord) -> None:
        """Note a record that is bad when the data is loaded; `loaded` comes when all is read.

        Raises:
            DlplugError: what is wrong with it, where no record may be bad.
        """
        if not self.share:
            raise bad.error
        if (bad.split, bad.position) not in self._records:
            self._keep(bad)

    def loaded(self, total: int) -> None:
        """Judge and name the records that were left out so far.

        Args:
            total: Records of all splits, the bad ones among them.
        Raises:
            DataError: too many are bad.
        """
        self.total = total
        self.check()
        for bad in self._records.values():
            _tell(bad, only_first=True)

    def add(self, found: Iterable[BadRecord]) -> None:
        """Note bad records; those that are known already make no difference.

        Raises:
            DlplugError: too many are bad.
        """
        for bad in found:
            if not self.share:
                raise bad.error
            if (bad.split, bad.position) not in self._records:
                self._keep(bad)
                _tell(bad)
                self._write([bad])
        self.check()

    def write_to(self, folder: Path) -> None:
        """List the bad records in a file of that folder, the known ones and those to come."""
        self.file = folder / FILE
        # A resumed training meets again what the file lists already.
        self._listed = _lines(self.file)
        self._write(self._records.values())

    def state_dict(self) -> list[dict[str, Any]]:
        """The bad records, as plain data."""
        return [bad.to_dict() for bad in self._records.values()]

    def load_state_dict(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Add the bad records of a state: they are set aside without being read again.

        Raises:
            DataError: too many are bad.
        """
        if self.share:  # else each of them is an error, when it is met
            self.merge(state)
            self.check()

    def gather(self) -> None:
        """Learn what the other processes have met; called in all of them at once."""
        if self.share and torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.state_dict())
            self.merge(row for part in parts for row in part)

    def merge(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Add the bad records that other processes have met and named; `check` judges them."""
        for row in state:
            bad = BadRecord(row["split"], row["record"], DataError(row["reason"]))
            if (bad.split, bad.position) not in self._records:
                self._keep(bad)
                self._write([bad])

    def check(self) -> None:
        """No more records are bad than may be.

        Raises:
            DataError: too many are bad; names the last ones.
        """
        count = len(self._records)
        if count <= self.allowed:
            return
        last = [bad.error.what for bad in self._records.values()][-SHOWN:]
        raise DataError(
            f"{count} of {self.total} records are bad, and data.quarantine = {self.share} allows"
            f" {self.allowed}: {'; '.join(last)}" + ("; ..." if count > SHOWN else ""),
            fix="mend or remove what is bad, or set data.quarantine higher",
        )

    def refuse_any(self, split: str) -> None:
        """No record of a split is known to be bad.

        Raises:
            DataError: names the first one.
        """
        bad = [bad for bad in self._records.values() if bad.split == split]
        if bad:
            raise DataError(
                f"{len(bad)} of the {split} records are bad, and a prediction can leave out none:"
                f" {bad[0].error.what}",
                fix=bad[0].error.fix or "mend or remove them",
            )

    def _keep(self, bad: BadRecord) -> None:
        self._records[bad.split, bad.position] = bad
        self.positions(bad.split).add(bad.position)

    def _write(self, found: Iterable[BadRecord]) -> None:
        if self.file is None or rank_zero_only.rank:
            return
        lines = [line for bad in found if (line := json.dumps(bad.to_dict())) not in self._listed]
        if lines:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)


def gathered(datamodule: object) -> int | None:
    """How many records of a data module all processes together have set aside; None for none.

    Called in all of them at once.
    """
    quarantine = quarantine_of(datamodule)
    if quarantine is None:
        return None
    quarantine.gather()
    return len(quarantine) or None


def refuse(position: int, error: DlplugError) -> None:
    """In place of `Quarantine.leave_out`, where no record may be bad."""
    raise error


def quarantine_of(datamodule: object) -> Quarantine | None:
    """That of a data module; None where somebody's module has none."""
    quarantine = getattr(datamodule, "quarantine", None)
    return quarantine if isinstance(quarantine, Quarantine) else None


def _lines(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()


def _tell(bad: BadRecord, only_first: bool = False) -> None:
    """Name a record on standard error.

    Args:
        bad: The record.
        only_first: All processes have met it, so that one line will do.
    """
    if only_first and rank_zero_only.rank:
        return
    print(f"data: a bad record is set aside: {bad.error.what}", file=sys.stderr, flush=True)
