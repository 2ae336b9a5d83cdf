"""Base of data modules: how records become three splits, and training batches are transformed."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.bad_rows import BadRows
from dlplug.data.division import Division
from dlplug.data.keys import Keys
from dlplug.data.outside_inputs import OutsideInputs
from dlplug.data.quarantine import BadRecord
from dlplug.data.spec import ARGUMENTS, DataSpec
from dlplug.data.split_loaders import SplitLoaders
from dlplug.data.training_transforms import apply_transforms
from dlplug.errors import DataError, DlplugError, InvalidValueError


class SplitData(SplitLoaders, OutsideInputs):
    """Records divided into train, validation and test.

    A subclass gives `load`, `data_spec`, and `read_input` or `prepare_input` for inputs that come
    from outside. A batch is ``(inputs, targets)``: ``inputs`` a tensor, or a mapping or tuple of
    tensors that become the arguments of the architecture.

    Args:
        batch_size: Records per batch of each process.
        num_workers: Processes that read ahead; 0 reads in the training process, which is fastest
            for records in memory.
        validation_fraction: Share of the records kept for validation.
        test_fraction: Share of the records kept for the test.
        split: How the records are divided: by ``fraction`` (of each class, where there are
            classes); as a ``column`` says, by train, validation (or val, valid, dev) and test (the
            fractions then play no part); by ``group``, such as a patient or a shop, so that no
            group is in two splits and new records move no old ones; by ``time``, the latest to
            the test.
        split_by: What says split, group or time (numbers, or dates in ISO 8601) of a record; see
            the data module for what it names.
        split_seed: Which records go where. It is not the seed of the training: change it only to
            make another split.
        sampling: Of training records: ``uniform``, each once per epoch; ``balanced``, drawn so
            that all classes are equally frequent; ``weighted``, drawn by the records' weights.
        quarantine: Share of the records that may be bad: they are named, listed in the run's
            ``quarantine.jsonl`` and set aside. In the training the next good record takes the
            place of one that turns out bad while it is read; an evaluation leaves it out. With 0
            the first bad record is an error, as it always is for ``predict``.
        transforms: Called on the inputs of every training batch, on the training device; one
            whose class says ``takes_targets = True`` is called on inputs and targets, and gives
            both.
    Raises:
        InvalidValueError: a value out of range, or a ``split`` that this data does not know.
    """

    split_keys: Mapping[str, str] = {}
    """What ``split_by`` names, in words, for each ``split`` that the data knows beyond fraction."""

    learns: Sequence[str] = ()
    """Entries of ``DataSpec.preparation`` without which nothing can be prepared."""

    sources: Sequence[str] = ("path",)
    """Arguments that say where the records are: with another one, a run knows of other data."""

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split: str = "fraction",
        split_by: str | int | None = None,
        split_seed: int = 0,
        sampling: str = "uniform",
        quarantine: float = 0.0,
        transforms: Sequence[Callable] = (),
    ):
        super().__init__(batch_size, num_workers, sampling, quarantine)
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.division = Division(
            split,
            split_by,
            self.split_keys,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
            seed=split_seed,
        )
        self.transforms = list(transforms) if isinstance(transforms, Sequence) else [transforms]
        self.adopted: DataSpec | None = None

    @property
    @abstractmethod
    def data_spec(self) -> DataSpec | None:
        """What the data knows about itself; None as long as that takes `load`."""

    @abstractmethod
    def load(self) -> Mapping[str, Dataset]:
        """The data sets ``train``, ``validation`` and ``test``, each possibly empty.

        Each gives a whole batch by ``__getitems__(positions)``; see `dlplug.data.records`.
        Statistics come from the training records alone, or from ``adopted.preparation`` if there
        is one.
        """

    def leave_out_of_train(self, position: int, error: DlplugError) -> None:
        """For `load`: the training record at this position has turned out to be bad.

        It stays in its place, and `Salvage` sees to it.

        Raises:
            DlplugError: ``error``, where no record may be bad.
        """
        self.quarantine.leave_out(BadRecord("train", position, error))

    def check_rows(self, bad: BadRows, count: int) -> None:
        """For `load`: no more of ``count`` records are bad than may be.

        Raises:
            DlplugError: names the first ones that are.
        """
        bad.check(self.quarantine.allowed_of(count))

    def divided(
        self,
        bad: BadRows,
        count: int,
        keys: Keys | None = None,
        classes: Tensor | None = None,
        apart: Mapping[str, Keys | None] | None = None,
        total: int | None = None,
    ) -> dict[str, Tensor]:
        """For `load`: the division of a file's records, when all of it has been read.

        Bad records keep their places in the splits, where `Salvage` sees to them. Those whose key
        says nothing are bad, too.

        Args:
            bad: Which of them are bad; told of those whose key says nothing.
            count: Number of records, the bad ones among them.
            keys, classes, apart: See `Division.rows`.
            total: Number of records, of which so many may be bad, where ``bad`` is of other files
                as well; None for ``count``.
        Returns:
            Positions of the records of each split, int64.
        Raises:
            DlplugError: more records are bad than may be, or what `Division.rows` raises.
        """
        self.check_rows(bad, total or count)
        try:
            rows = bad.divided(self.division, count, keys, classes, apart)
        except DataError:
            faults = {} if self.division.key is None else keys.faults(self.division.by)
            if not set(faults) - set(bad):
                raise
            for row, error in faults.items():
                bad.add(row, error)
            self.check_rows(bad, total or count)
            rows = bad.divided(self.division, count, keys, classes, apart)
        self.leave_out(bad, rows)
        return rows

    def leave_out(self, bad: BadRows, rows: Mapping[str, Tensor]) -> None:
        """For `load`: set aside what is bad of the records of some splits.

        Args:
            bad: Which records of a file are bad.
            rows: Positions in the file of the records of each split.
        """
        for split, part in rows.items():
            for position, row in enumerate(part.tolist() if bad else ()):
                if row in bad:
                    self.quarantine.leave_out(BadRecord(split, position, bad[row]))

    def adopt(self, spec: DataSpec) -> None:
        """Take over what a training learned from its data, instead of learning it anew.

        Args:
            spec: As saved with the run.
        Raises:
            InvalidValueError: the training learned something else, or with other arguments.
        """
        missing = [key for key in self.learns if key not in (spec.preparation or {})]
        if missing:
            raise InvalidValueError(
                f"data: {', '.join(missing)} of the training's records are needed, and the run has"
                " not kept them",
                fix="use data of the kind that the model was trained on",
            )
        kept = (spec.preparation or {}).get(ARGUMENTS, {})
        for ours, theirs in (
            (DataSpec(**self.stated()).to_dict(), spec.to_dict()),
            (self.prepared_by(), kept),
        ):
            for name, here in ours.items():
                if name in theirs and here != theirs[name]:
                    raise InvalidValueError(
                        f"data: {name} = {here!r} by its arguments, and the model was trained with"
                        f" {theirs[name]!r}",
                        fix="leave the data's arguments as they were",
                    )
        self.adopted = spec

    def stated(self) -> dict[str, Any]:
        """Fields of the data spec that the arguments decide, whatever the records are."""
        return {}

    def prepared_by(self) -> dict[str, Any]:
        """Arguments that decide what becomes of a record and that no field tells; plain data."""
        return {}

    def preparation(self, **learned: Any) -> dict[str, Any]:
        """For `load`: ``DataSpec.preparation``, with the arguments that `adopt` compares later.

        Args:
            learned: Of the training records, plain data.
        """
        if self.adopted is None:
            return learned | {ARGUMENTS: self.prepared_by()}
        # They are the same; of an earlier version, there are none.
        before = self.adopted.preparation or {}
        return learned | {name: before[name] for name in (ARGUMENTS,) if name in before}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Apply the transforms to training batches, where they already are on the device."""
        is_training = self.trainer is not None and self.trainer.training
        return self.transformed(batch) if is_training else batch

    def transformed(self, batch: Any) -> Any:
        """A training batch after all transforms.

        Raises:
            InvalidValueError: see `apply_transforms`.
        """
        return apply_transforms(self.transforms, batch)

    def state_dict(self) -> dict[str, Any]:
        """The bad records that all processes have met; called on all of them at once."""
        self.quarantine.gather()
        found = self.quarantine.state_dict()
        return {"quarantine": found} if found else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set aside what was bad before the training was interrupted."""
        self.quarantine.load_state_dict(state_dict["quarantine"])
