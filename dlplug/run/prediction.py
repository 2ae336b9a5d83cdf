"""Predict the test split or an array, and write what comes out as CSV."""

import csv
import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dlplug.callbacks.heartbeat import watched
from dlplug.data.loader import OnceSampler, evaluation_loader
from dlplug.data.outside_inputs import read_array
from dlplug.errors import ConfigError
from dlplug.run.evaluation import evaluation_trainer, task_of
from dlplug.run.folder import Run
from dlplug.run.parts import build_data, name_of
from dlplug.run.result import Result
from dlplug.run.trained_data import check_split
from dlplug.storage.checkpoint import read_outline
from dlplug.storage.files import write_file, write_text
from dlplug.tasks.task import Task, number_table

# Of a batch or of many: a tensor ``(N, ...)``, or one object for each record.
Predictions = Tensor | list

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
    """Predict and write.

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
    tasks = [task_of(experiment, checkpoint) for checkpoint in checkpoints]
    data = build_data(experiment) if source is None else Inputs(input_loader(experiment, source))
    records = [
        check_split("predict", experiment, read_outline(checkpoint), checkpoint, any_split)
        for checkpoint in checkpoints
        if source is None
    ]
    parts = []
    for task, checkpoint in zip(tasks, checkpoints, strict=True):
        trainer = evaluation_trainer(experiment, progress)
        with watched(trainer):
            batches = trainer.predict(task, data, ckpt_path=checkpoint, weights_only=True)
            parts.append(in_order(batches, trainer))
    rows = mean_of(parts)
    result = Result("predict", run=run and run.path)
    result.records = next(filter(None, records), None)
    if len(checkpoints) == 1:
        result.checkpoint = checkpoints[0]
    else:
        result.checkpoints = list(checkpoints)
    result.is_main = trainer.is_global_zero
    if result.is_main:
        result.predictions = target or free_path(run.path)
        table = getattr(task, "prediction_table", number_table)
        write_table(*table(rows), result.predictions, _names(data))
        arrays = task.prediction_arrays(rows) if isinstance(task, Task) else {}
        if arrays:
            result.arrays = result.predictions.with_suffix(".npz")
            write_file(result.arrays, lambda file: np.savez_compressed(file, **arrays))
    result.seconds = round(time.monotonic() - started, 3)
    return result


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


def in_order(batches: Sequence[Predictions], trainer: lightning.Trainer) -> Predictions:
    """All processes' predictions in the order of the records.

    Process r of w predicts the records r, r + w, r + 2w, ...

    Returns:
        One tensor where those of all batches fit together, else a list with one for each record.
    """
    mine = joined(batches)
    if trainer.world_size == 1:
        return mine
    parts: list[Predictions | None] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, mine)
    rows: list = [None] * sum(map(len, parts))
    for rank, part in enumerate(parts):
        rows[rank :: trainer.world_size] = part
    return joined([torch.stack(rows)] if isinstance(mine, Tensor) else [rows])


def joined(batches: Sequence[Predictions]) -> Predictions:
    """The predictions of several batches as one tensor, or as one list."""
    shapes = {batch.shape[1:] if isinstance(batch, Tensor) else None for batch in batches}
    if len(shapes) == 1 and None not in shapes:
        return torch.cat(list(batches))
    return [row for batch in batches for row in batch]


def mean_of(parts: Sequence[Predictions]) -> Predictions:
    """The mean of several models' predictions of the same records.

    Raises:
        ConfigError: they are classes or objects, which have no mean.
    """
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, Tensor) and part.is_floating_point() for part in parts):
        raise ConfigError(
            "the predictions of several checkpoints cannot be averaged: they are no probabilities"
            " or numbers",
            fix="predict with one --ckpt_path",
        )
    return torch.stack(list(parts)).mean(dim=0)


def write_table(
    columns: Sequence[str],
    rows: Iterable[Sequence],
    path: Path,
    names: Sequence[str] | None = None,
) -> None:
    """CSV with an index, and the names of the inputs, in front; numbers with six digits.

    ``names`` that are not as many as the rows (a row for each token, say) are left out.
    """
    rows = list(rows)
    if names is not None and len(names) == len(rows):
        columns = ["input", *columns]
        rows = [[name, *row] for name, row in zip(names, rows, strict=True)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", *columns])
    for index, row in enumerate(rows):
        cells = (f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row)
        writer.writerow([index, *cells])
    write_text(path, text.getvalue())


def free_path(folder: Path) -> Path:
    """``predictions.csv``, or with the next number when it exists."""
    path, number = folder / "predictions.csv", 1
    while path.exists():
        number += 1
        path = folder / f"predictions-{number}.csv"
    return path
