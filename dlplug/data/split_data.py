"""Base of data modules: three splits, a guarded test split, loaders whose position can be saved."""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dlplug.data.bad_rows import BadRows
from dlplug.data.division import Division
from dlplug.data.loader import evaluation_loader, training_loader
from dlplug.data.quarantine import BadRecord, Quarantine
from dlplug.data.records import ArrayRecords
from dlplug.data.salvage import Salvage
from dlplug.data.sampling import SAMPLINGS, record_weights
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, DlplugError, InvalidValueError
from dlplug.tasks.checks import MISFIT, describe
from dlplug.transforms.mixed import Mixed

# The test records are for the final judgement only; a training that can reach them will use them.
STAGES_OF_TEST = ("test", "predict")
SPLITS = ("train", "validation", "test")


class SplitData(lightning.LightningDataModule):
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
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise InvalidValueError(
                f"data: batch_size = {batch_size}, num_workers = {num_workers};"
                " batch_size must be 1 or more and num_workers 0 or more"
            )
        if sampling not in SAMPLINGS:
            raise InvalidValueError(f"data: sampling = {sampling!r}", known=", ".join(SAMPLINGS))
        self.batch_size = batch_size
        self.num_workers = num_workers
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
        self.sampling = sampling
        self.quarantine = Quarantine(quarantine)
        self.transforms = list(transforms) if isinstance(transforms, Sequence) else [transforms]
        self.adopted: DataSpec | None = None
        self._datasets: Mapping[str, Dataset] | None = None
        self._stage: str | None = None

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
        bad.check(int(self.quarantine.share * count))

    def divided(self, bad: BadRows, count: int, *arguments: Any, **further: Any) -> dict:
        """For `load`: the division of a file's records, when all of it has been read.

        Bad records keep their places in the splits, where `Salvage` sees to them.

        Args:
            bad: Which of them are bad.
            count: Number of records, the bad ones among them.
            arguments, further: See `Division.rows`.
        Returns:
            Positions of the records of each split, int64.
        Raises:
            DlplugError: more records are bad than may be, or what `Division.rows` raises.
        """
        self.check_rows(bad, count)
        rows = bad.divided(self.division, count, *arguments, **further)
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
        """
        self.adopted = spec

    def setup(self, stage: str) -> None:
        """Load once; ``stage`` opens or closes the test split."""
        if self._datasets is None:
            self._datasets = self.load()
            if not len(self._datasets["train"]):
                raise DataError("there are no training records")
            self.quarantine.loaded(sum(self.split_sizes.values()))
        # Lightning passes an enum whose text is its name.
        self._stage = str(getattr(stage, "value", stage))

    def teardown(self, stage: str) -> None:
        """Close the test split."""
        self._stage = None

    def train_dataloader(self):
        """Shuffled or drawn batches of the training split."""
        dataset = self.split("train")
        return training_loader(
            Salvage(dataset, "train", self.quarantine, is_training=True),
            self.batch_size,
            # The seed that Lightning hands to its own samplers, equal in every process.
            seed=int(os.environ.get("PL_GLOBAL_SEED", 0)),
            epoch=self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0,
            weights=record_weights(dataset, self.sampling),
            **self._loader_arguments(),
        )

    def val_dataloader(self):
        """The validation split in order; no loader when it is empty."""
        return self._evaluation("validation")

    def test_dataloader(self):
        """The test split in order, in the stages test and predict only."""
        return self._evaluation("test")

    def predict_dataloader(self):
        """The test split in order, as in `test_dataloader`."""
        return self._evaluation("test")

    def split(self, name: str) -> Dataset:
        """The records of ``train``, ``validation`` or ``test``.

        Raises:
            DataError: the test split outside the stages test and predict.
        """
        if self._datasets is None:
            raise DataError("the data is not loaded yet", fix="call setup('fit') first")
        if name == "test" and self._stage not in STAGES_OF_TEST:
            raise DataError(
                "the test split was asked for during"
                f" {'no stage' if self._stage is None else repr(self._stage)}",
                known=f"it is open in the stages {' and '.join(STAGES_OF_TEST)}",
                fix="use the validation split to choose anything; test once, with the verb `test`",
            )
        return self._datasets[name]

    @property
    def split_sizes(self) -> dict[str, int]:
        """Records of each split; it is known after `setup`, and opens nothing."""
        return {name: len(self._datasets[name]) for name in SPLITS}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Apply the transforms to training batches, where they already are on the device."""
        is_training = self.trainer is not None and self.trainer.training
        return self.transformed(batch) if is_training else batch

    def transformed(self, batch: Any) -> Any:
        """A training batch after all transforms.

        Raises:
            InvalidValueError: a transform cannot take the batch, or one of targets follows one
                that mixes them.
        """
        inputs, targets = batch
        for transform in self.transforms:
            takes_targets = getattr(transform, "takes_targets", False)
            if takes_targets and isinstance(targets, Mixed):
                raise InvalidValueError(
                    f"data.transforms: {type(transform).__name__} follows a transform that"
                    " mixes records",
                    fix="put mixup or cutmix last, and one of them only",
                )
            try:
                if takes_targets:
                    inputs, targets = transform(inputs, targets)
                else:
                    inputs = transform(inputs)
            except (DlplugError, torch.OutOfMemoryError):
                raise
            except (*MISFIT, AttributeError) as error:
                raise InvalidValueError(
                    f"data.transforms: {type(transform).__name__} cannot take the inputs"
                    f" {describe(inputs)} and targets {describe(targets)}: {error}",
                    fix="take it out of data.transforms, or use data that it is made for",
                ) from error
        return inputs, targets

    def state_dict(self) -> dict[str, Any]:
        """The bad records that all processes have met; called on all of them at once."""
        self.quarantine.gather()
        found = self.quarantine.state_dict()
        return {"quarantine": found} if found else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set aside what was bad before the training was interrupted."""
        self.quarantine.load_state_dict(state_dict["quarantine"])

    def read_input(self, path: Path) -> Dataset:
        """Inputs from outside, as a data set whose batches are the inputs of a model.

        Here: a ``.npy`` file of one array, given to ``prepare_input(array)``.

        Raises:
            DataError: the file is missing, or does not look like the data.
            ConfigError: the data module cannot take inputs from outside.
        """
        if not hasattr(self, "prepare_input"):
            raise ConfigError("this data takes no inputs from outside: it has no prepare_input()")
        return ArrayRecords(self.prepare_input(read_array(path)))

    def input_loader(self, path: Path) -> DataLoader:
        """Batches of `read_input`, in order."""
        return evaluation_loader(
            self.read_input(path), self.batch_size, num_workers=0, rank=0, world_size=1
        )

    def fingerprint(self) -> dict[str, Any]:
        """Size of each split, and a hash of all that have a ``digest()``, one after the other."""
        sizes = self.split_sizes
        digests = [
            self._datasets[s].digest() for s in SPLITS if hasattr(self._datasets[s], "digest")
        ]
        if not digests:
            return {"records": sizes}
        return {"records": sizes, "sha256": sha256("".join(digests).encode()).hexdigest()}

    def _evaluation(self, name: str):
        dataset = self.split(name)
        if not len(dataset):
            return []
        arguments, quarantine = self._loader_arguments(), self.quarantine
        if self._stage == "predict":
            # A prediction that is missing would move all that follow it.
            quarantine.refuse_any(name)
            quarantine = Quarantine()
        salvage = Salvage(
            dataset,
            name,
            quarantine,
            is_training=False,
            can_skip=arguments["world_size"] == 1,
        )
        return evaluation_loader(salvage, self.batch_size, **arguments)

    def _loader_arguments(self) -> dict[str, Any]:
        shares = (self.trainer and self.trainer.distributed_sampler_kwargs) or {}
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return {
            "num_workers": self.num_workers,
            "rank": shares.get("rank", 0),
            "world_size": shares.get("num_replicas", 1),
            "pin_memory": on_gpu,
        }


def read_array(path: Path) -> np.ndarray:
    """The one array in a ``.npy`` file.

    Raises:
        DataError: the file is missing, or something else.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an array: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{path} is an archive of several arrays", fix="save one array with np.save"
        )
    return array
