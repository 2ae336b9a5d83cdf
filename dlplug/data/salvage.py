"""Batches without their bad records."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

from dlplug.data.quarantine import BadRecord, Quarantine
from dlplug.data.restarting_loader import RestartingLoader
from dlplug.errors import DataError, DlplugError


@dataclass(frozen=True)
class Salvaged:
    """What a process that reads says of a batch with bad records.

    Args:
        batch: The rest of it; None where there is none.
        bad: Records that were not known to be bad.
    """

    batch: Any
    bad: list[BadRecord]


class Salvage(Dataset):
    """The batches of another data set, without its bad records.

    A record is bad when reading it raises an exception, whichever. In a training, the next good
    one takes its place: batches keep their size, and which record that is depends on the position
    alone, not on the number of workers or on what was read before. In an evaluation it is left
    out: nothing is counted twice.

    Args:
        dataset: Gives batches by ``__getitems__``.
        split: What it is called.
        quarantine: Where bad records are noted.
        is_training: Whether bad records are replaced.
        can_skip: Whether a batch may be left out when all of its records are bad. It may not be
            where several processes have to make equally many steps.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        quarantine: Quarantine,
        *,
        is_training: bool,
        can_skip: bool = True,
    ):
        self.dataset = dataset
        self.split = split
        self.quarantine = quarantine
        self.is_training = is_training
        self.can_skip = can_skip
        self.bad = quarantine.positions(split)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, positions: Sequence[int]) -> Any:
        """The batch as it is, or `Salvaged` when records turn out to be bad, or none is left.

        Raises:
            Exception: of the data set, when each record can be read, and not all together.
        """
        found: list[BadRecord] = []
        while chosen := self._chosen(positions):
            try:
                batch = self.dataset.__getitems__(chosen)
            except MemoryError:
                raise
            except Exception:
                new = list(self._bad_among(chosen))
                if not new:
                    raise
                found += new
                if len(self.quarantine) + len(found) > self.quarantine.allowed:
                    break
            else:
                return Salvaged(batch, found) if found else batch
        return Salvaged(None, found)

    def received(self, salvaged: Salvaged) -> None:
        """Note what a process that reads has found; in the training process.

        Raises:
            DlplugError: too many records are bad, or a batch is missing that may not be.
        """
        self.bad.update(bad.position for bad in salvaged.bad)
        self.quarantine.add(salvaged.bad)
        if salvaged.batch is None and not self.can_skip:
            raise DataError(
                f"all records of one batch of the {self.split} split are bad, and each process"
                " needs one in every step",
                fix="set data.batch_size higher, or mend the records that were named",
            )

    def _chosen(self, positions: Sequence[int]) -> Sequence[int]:
        """The records to read instead of ``positions``; none where there is no good one."""
        if not self.bad:
            return positions
        if not self.is_training:
            return [position for position in positions if position not in self.bad]
        if len(self.bad) >= len(self.dataset):
            return []
        return [self._next_good(position) for position in positions]

    def _next_good(self, position: int) -> int:
        while position in self.bad:
            position = (position + 1) % len(self.dataset)
        return position

    def _bad_among(self, positions: Sequence[int]) -> Iterator[BadRecord]:
        for position in dict.fromkeys(map(int, positions)):
            try:
                self.dataset.__getitems__([position])
            except MemoryError:
                raise
            except Exception as error:
                self.bad.add(position)
                yield BadRecord(self.split, position, self._named(position, error))

    def _named(self, position: int, error: Exception) -> DlplugError:
        if isinstance(error, DlplugError):
            return error
        names = getattr(self.dataset, "names", None)
        name = f" ({names[position]})" if names is not None else ""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(str(error).split())
        named = DataError(
            f"record {position}{name} of the {self.split} split cannot be read:"
            f" {type(error).__name__}: {reason}",
            where=f"{frame.filename}, line {frame.lineno}, in {frame.name}",
        )
        named.__cause__ = error
        return named


class SalvagingLoader(RestartingLoader):
    """A `RestartingLoader` that hands out what `Salvage` gives, and tells it what was found."""

    def __iter__(self) -> Iterator[Any]:
        batches = super().__iter__()
        return batches if not isinstance(self.dataset, Salvage) else unpacked(batches, self.dataset)


def unpacked(batches: Iterator[Any], dataset: Salvage) -> Iterator[Any]:
    """Batches as the model takes them.

    Raises:
        DlplugError: see `Salvage.received`.
    """
    # Other processes' bad records are known since the last checkpoint.
    dataset.quarantine.check()
    for batch in batches:
        if isinstance(batch, Salvaged):
            dataset.received(batch)
            batch = batch.batch
            if batch is None:
                continue
        yield batch
