"""Loaders of train, validation and test, the last of which is guarded."""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import lightning
from torch.utils.data import Dataset

from dlplug.data.loader import evaluation_loader, training_loader
from dlplug.data.quarantine import Quarantine
from dlplug.data.salvage import Salvage
from dlplug.data.sampling import SAMPLINGS, record_weights
from dlplug.data.split import SPLITS
from dlplug.errors import DataError, InvalidValueError

# The test records are for the final judgement only; a training that can reach them will use them.
STAGES_OF_TEST = ("test", "predict")


class SplitLoaders(lightning.LightningDataModule):
    """The batches of three splits, without their bad records.

    A subclass gives ``load``, and is `SplitData`, where it and the arguments are explained.
    """

    def __init__(self, batch_size: int, num_workers: int, sampling: str, quarantine: float):
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
        self.sampling = sampling
        self.quarantine = Quarantine(quarantine)
        self._datasets: Mapping[str, Dataset] | None = None
        self._digests: dict[str, str] = {}
        self._stage: str | None = None

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

    def fingerprint(self, splits: Sequence[str] = SPLITS) -> dict[str, Any]:
        """Size of each split, and a hash of those asked for that have a ``digest()``; taken once.

        By it a run knows its records again: see `dlplug.run.trained_data`.
        """
        names = [name for name in splits if hasattr(self._datasets[name], "digest")]
        for name in names:
            if name not in self._digests:
                digest = self._datasets[name].digest()
                self._digests[name] = sha256(digest.encode()).hexdigest()
        hashes = {"sha256": {name: self._digests[name] for name in names}} if names else {}
        return {"records": self.split_sizes} | hashes

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
