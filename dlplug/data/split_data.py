"""Base of data modules: three splits, a guarded test split, loaders whose position can be saved."""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset

from dlplug.data.loader import evaluation_loader, training_loader
from dlplug.data.records import ArrayRecords
from dlplug.data.sampling import SAMPLINGS, record_weights
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError
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
        split_seed: Which records go where. It is not the seed of the training: change it only to
            make another split.
        sampling: Of training records: ``uniform``, each once per epoch; ``balanced``, drawn so
            that all classes are equally frequent; ``weighted``, drawn by the records' weights.
        transforms: Called on the inputs of every training batch, on the training device; one
            whose class says ``takes_targets = True`` is called on inputs and targets, and gives
            both.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        sampling: str = "uniform",
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
        self.sampling = sampling
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
        # Lightning passes an enum whose text is its name.
        self._stage = str(getattr(stage, "value", stage))

    def teardown(self, stage: str) -> None:
        """Close the test split."""
        self._stage = None

    def train_dataloader(self):
        """Shuffled or drawn batches of the training split."""
        dataset = self.split("train")
        return training_loader(
            dataset,
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
        """Apply the transforms to training batches, where they already are on the device.

        Raises:
            InvalidValueError: a transform of targets follows one that mixes them.
        """
        if self.trainer is None or not self.trainer.training:
            return batch
        inputs, targets = batch
        for transform in self.transforms:
            if getattr(transform, "takes_targets", False):
                if isinstance(targets, Mixed):
                    raise InvalidValueError(
                        f"data.transforms: {type(transform).__name__} follows a transform that"
                        " mixes records",
                        fix="put mixup or cutmix last, and one of them only",
                    )
                inputs, targets = transform(inputs, targets)
            else:
                inputs = transform(inputs)
        return inputs, targets

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
        return evaluation_loader(dataset, self.batch_size, **self._loader_arguments())

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
