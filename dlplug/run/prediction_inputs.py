"""Inputs from outside, as what a Trainer predicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
from torch.utils.data import DataLoader

from dlplug.data.loader import OnceSampler, evaluation_loader
from dlplug.data.outside_inputs import read_array
from dlplug.data.records import Records
from dlplug.errors import ConfigError
from dlplug.run.parts import name_of
from dlplug.tasks.task import Task

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def names_of(data: lightning.LightningDataModule) -> Sequence[str] | None:
    """What the inputs from outside are called, such as their files; None where nothing tells."""
    return getattr(data.loader.dataset, "names", None) if isinstance(data, Inputs) else None


class Inputs(lightning.LightningDataModule):
    """Inputs from outside, each of them for one of the processes.

    Args:
        loader: Of all of them.
    """

    def __init__(self, loader: DataLoader):
        super().__init__()
        self.loader = loader

    def predict_dataloader(self) -> DataLoader:
        """This process's share: Lightning divides any loader but one with a sampler of ours."""
        if not isinstance(self.loader.sampler, OnceSampler):
            return self.loader
        return evaluation_loader(
            self.loader.dataset,
            self.loader.batch_size,
            num_workers=0,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Of a `Task`, inputs and targets: two inputs would pass for such a pair.

        None for targets, but of `Records`. Any other LightningModule gets the inputs alone, which
        Lightning's own ``predict_step`` gives to ``forward``.
        """
        is_pair = isinstance(self.loader.dataset, Records)
        if not isinstance(self.trainer.lightning_module, Task):
            return batch[0] if is_pair else batch
        return batch if is_pair else (batch, None)


def input_loader(experiment: "Experiment", path: Path) -> DataLoader:
    """Batches of the inputs at ``path``, read as the data module says.

    Raises:
        DataError: the file is missing, or does not look like the data.
        ConfigError: the data module cannot take inputs from outside.
    """
    datamodule, name = experiment.datamodule, name_of(experiment, "data")
    if hasattr(datamodule, "input_loader"):
        return datamodule.input_loader(path)
    if not hasattr(datamodule, "prepare_input"):
        raise ConfigError(f"data {name} takes no inputs from outside: it has no prepare_input()")
    inputs = datamodule.prepare_input(read_array(path))
    return DataLoader(inputs, batch_size=getattr(datamodule, "batch_size", 64))
