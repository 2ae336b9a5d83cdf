"""Base of data modules whose labelled records fit into memory: split, guard, loaders."""

import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from dlplug.data.loader import Records, evaluation_loader, training_loader
from dlplug.data.spec import DataSpec
from dlplug.data.split import stratified_split
from dlplug.errors import DataError, InvalidValueError

# The test records are for the final judgement only; a training that can reach them will use them.
STAGES_OF_TEST = ("test", "predict")


class LabelledData(lightning.LightningDataModule):
    """Records with one class each, held in memory, divided into train, validation and test.

    A subclass gives `load` and `data_spec`, and `prepare_input` for inputs that come from outside.

    Args:
        batch_size: Records per batch of each process.
        num_workers: Processes that read ahead; 0 reads in the training process, which is fastest
            for records in memory.
        validation_fraction: Share of each class kept for validation.
        test_fraction: Share of each class kept for the test.
        split_seed: Which records go where. It is not the seed of the training: change it only to
            make another split.
        transform: Called on the inputs of every training batch, on the training device.
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
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise InvalidValueError(
                f"data: batch_size = {batch_size}, num_workers = {num_workers};"
                " batch_size must be 1 or more and num_workers 0 or more"
            )
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.transforms = [] if transform is None else [transform]
        self._records: tuple[Tensor, Tensor] | None = None
        self._indices: dict[str, Tensor] = {}
        self._stage: str | None = None

    @property
    @abstractmethod
    def data_spec(self) -> DataSpec:
        """What the data knows about itself; known before anything is loaded."""

    @abstractmethod
    def load(self) -> tuple[Tensor, Tensor]:
        """All records: inputs ``(N, ...)`` float32 ready for a model, labels ``(N,)`` int64."""

    @abstractmethod
    def prepare_input(self, array: np.ndarray) -> Tensor:
        """Inputs from outside, raw as in the source, as the batch that a model takes.

        Raises:
            DataError: the shape is not that of this data.
        """

    def setup(self, stage: str) -> None:
        """Load once, split, and check the labels; ``stage`` opens or closes the test split."""
        if self._records is None:
            inputs, labels = self.load()
            self._indices = stratified_split(
                labels, self.validation_fraction, self.test_fraction, self.split_seed
            )
            check_labels(labels, self._indices, self.data_spec.num_classes)
            self._records = inputs, labels
        # Lightning passes an enum whose text is its name.
        self._stage = str(getattr(stage, "value", stage))

    def teardown(self, stage: str) -> None:
        """Close the test split."""
        self._stage = None

    def train_dataloader(self):
        """Shuffled batches of the training split."""
        return training_loader(
            self.split("train"),
            self.batch_size,
            # The seed that Lightning hands to its own samplers, equal in every process.
            seed=int(os.environ.get("PL_GLOBAL_SEED", 0)),
            epoch=self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0,
            **self._loader_arguments(),
        )

    def val_dataloader(self):
        """The validation split in order; no loader when ``validation_fraction`` is 0."""
        return self._evaluation("validation")

    def test_dataloader(self):
        """The test split in order, in the stages test and predict only."""
        return self._evaluation("test")

    def predict_dataloader(self):
        """The test split in order, as in `test_dataloader`."""
        return self._evaluation("test")

    def split(self, name: str) -> Records:
        """The records of ``train``, ``validation`` or ``test``.

        Raises:
            DataError: the test split outside the stages test and predict.
        """
        if self._records is None:
            raise DataError("the data is not loaded yet", fix="call setup('fit') first")
        if name == "test" and self._stage not in STAGES_OF_TEST:
            raise DataError(
                "the test split was asked for during"
                f" {'no stage' if self._stage is None else repr(self._stage)}",
                known=f"it is open in the stages {' and '.join(STAGES_OF_TEST)}",
                fix="use the validation split to choose anything; test once, with the verb `test`",
            )
        return Records(*self._records, self._indices[name])

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Apply the transforms to training batches, where they already are on the device."""
        if self.trainer is None or not self.trainer.training:
            return batch
        inputs, labels = batch
        for transform in self.transforms:
            inputs = transform(inputs)
        return inputs, labels

    def fingerprint(self) -> dict[str, Any]:
        """Size of each split, and a hash of all inputs, labels and of who belongs where."""
        digest = hashlib.sha256()
        for tensor in (*self._records, *self._indices.values()):
            digest.update(tensor.contiguous().numpy().tobytes())
        sizes = {name: len(indices) for name, indices in self._indices.items()}
        return {"records": sizes, "sha256": digest.hexdigest()}

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


def check_labels(labels: Tensor, splits: dict[str, Tensor], num_classes: int) -> None:
    """Every label is one of ``0 ... num_classes - 1``.

    Raises:
        DataError: names the split, the record and its label.
    """
    wrong = (labels < 0) | (labels >= num_classes)
    if not wrong.any():
        return
    record = int(torch.nonzero(wrong)[0])
    split = next(name for name, indices in splits.items() if (indices == record).any())
    raise DataError(
        f"{split} split, record {record}: label {int(labels[record])} is out of range",
        known=f"num_classes = {num_classes}, so labels are 0 ... {num_classes - 1}",
        fix=f"{int(wrong.sum())} of {len(labels)} labels are wrong: correct them, or num_classes",
    )
