"""Predict the test split or an array, and write what comes out as CSV."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
from torch.utils.data import DataLoader

from dlplug.callbacks.heartbeat import watched
from dlplug.data.loader import OnceSampler, evaluation_loader
from dlplug.data.outside_inputs import read_array
from dlplug.errors import ConfigError
from dlplug.run.ensemble import averaged_later, own_experiments
from dlplug.run.evaluation import evaluation_trainer, task_of
from dlplug.run.folder import Run
from dlplug.run.parts import build_data, name_of
from dlplug.run.prediction_output import PredictionOutput
from dlplug.run.prediction_spool import Spool
from dlplug.run.prediction_stream import Predictions, PredictionStream
from dlplug.run.result import Result
from dlplug.run.trained_data import check_split
from dlplug.storage.checkpoint import read_outline

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def predict_to_file(
    experiment: "Experiment",
    run: Run | None,
    checkpoints: Sequence[Path],
    source: Path | None,
    target: Path | None,
    progress: bool,
    any_split: bool = False,
) -> Result:
    """Predict, and write batch by batch; the file has its name when all is in it.

    Args:
        experiment: Names the data and the architecture.
        run: Whose folder takes the file when ``target`` is None.
        checkpoints: Whose weights; of several, the predictions are averaged.
        source: Raw inputs, in a form that the data module reads; None for the data's test split.
            With a source, no training data is loaded.
        target: CSV file, which may exist; None for a new file in the run folder.
        progress: Whether to show a progress bar.
        any_split: Whether another division of the training's data is taken.
    Raises:
        DlplugError: the checkpoint, the inputs or the test split do not fit, or there is no place
            to write to.
    """
    started = time.monotonic()
    if target is None and run is None:
        raise ConfigError("there is no place for the predictions", fix="give --output FILE.csv")
    if target is not None and not target.absolute().parent.is_dir():
        raise ConfigError(f"{target}: the folder {target.absolute().parent} does not exist")
    if source is None:
        experiments = [experiment] * len(checkpoints)
        data = [build_data(experiment)] * len(checkpoints)
    else:
        # A config without a run is one of the user's own, for the one checkpoint that he names.
        is_own = run is None and len(checkpoints) == 1
        experiments = [experiment] if is_own else own_experiments(experiment, checkpoints)
        data = [Inputs(input_loader(one, source)) for one in experiments]
    tasks = list(map(task_of, experiments, checkpoints))
    records = [
        check_split("predict", experiment, read_outline(checkpoint), checkpoint, any_split)
        for checkpoint in checkpoints
        if source is None
    ]
    folder = run.path if target is None else target.parent
    *parts, last = zip(experiments, tasks, data, checkpoints, strict=True)
    with ExitStack() as stack:
        spools = [stack.enter_context(closing(Spool(folder))) for _ in parts]
        for (first, *others), spool in zip(parts, spools, strict=True):
            _predict(evaluation_trainer(first, progress), *others, averaged_later(spool.add))
        trainer = evaluation_trainer(last[0], progress)
        result = Result("predict", run=run and run.path, is_main=trainer.is_global_zero)
        output = None
        if result.is_main:
            output = PredictionOutput(folder, tasks[-1], spools, _names(data[-1]))
            stack.enter_context(closing(output))
        _predict(trainer, *last[1:], output and output.add)
        if result.is_main:
            if not output.num_records:
                raise ConfigError(f"data {name_of(experiment, 'data')} has no records to predict")
            result.predictions, result.arrays = output.finish(target, folder)
    result.records = next(filter(None, records), None)
    if len(checkpoints) == 1:
        result.checkpoint = checkpoints[0]
    else:
        result.checkpoints = list(checkpoints)
    result.seconds = round(time.monotonic() - started, 3)
    return result


def _predict(
    trainer: lightning.Trainer,
    task: lightning.LightningModule,
    data: lightning.LightningDataModule,
    checkpoint: Path,
    receive: Callable[[Predictions], object],
) -> None:
    trainer.callbacks.append(PredictionStream(receive))
    with watched(trainer):
        trainer.predict(
            task, data, ckpt_path=checkpoint, return_predictions=False, weights_only=True
        )


def _names(data: lightning.LightningDataModule) -> Sequence[str] | None:
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
