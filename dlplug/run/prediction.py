"""Predict the test split or an array, and write what comes out as CSV."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.run.evaluation import evaluation_trainer, task_of
from dlplug.run.files import write_text
from dlplug.run.folder import Run
from dlplug.run.parts import build_data, name_of
from dlplug.run.result import Result

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def predict_to_file(
    experiment: "Experiment",
    run: Run | None,
    checkpoint: Path,
    source: Path | None,
    target: Path | None,
    progress: bool,
) -> Result:
    """Predict and write.

    Args:
        experiment: Names the data and the architecture.
        run: Whose folder takes the file when ``target`` is None.
        checkpoint: Whose weights.
        source: ``.npy`` file of raw inputs; None for the data's test split. With a file, no data
            is loaded.
        target: CSV file, which may exist; None for a new file in the run folder.
        progress: Whether to show a progress bar.
    Raises:
        DlplugError: the checkpoint or the inputs do not fit, or there is no place to write to.
    """
    started = time.monotonic()
    if target is None and run is None:
        raise ConfigError("there is no place for the predictions", fix="give --output FILE.csv")
    if target is not None and not target.absolute().parent.is_dir():
        raise ConfigError(f"{target}: the folder {target.absolute().parent} does not exist")
    task = task_of(experiment, checkpoint)
    arguments = (
        {"datamodule": build_data(experiment)}
        if source is None
        else {"dataloaders": array_loader(experiment, source)}
    )
    trainer = evaluation_trainer(experiment, progress)
    batches = trainer.predict(task, ckpt_path=checkpoint, weights_only=True, **arguments)
    rows = in_order(batches, trainer)
    result = Result("predict", run=run and run.path, checkpoint=checkpoint)
    result.is_main = trainer.is_global_zero
    if result.is_main:
        result.predictions = target or free_path(run.path)
        write_predictions(rows, experiment.data_spec, result.predictions)
    result.seconds = round(time.monotonic() - started, 3)
    return result


def array_loader(experiment: "Experiment", path: Path) -> DataLoader:
    """Batches of the inputs in a ``.npy`` file, prepared as the data module says.

    Raises:
        DataError: the file is missing or no array of numbers, or does not look like the data.
        ConfigError: the data module cannot take inputs from outside.
    """
    datamodule = experiment.datamodule
    name = name_of(experiment, "data")
    if not hasattr(datamodule, "prepare_input"):
        raise ConfigError(f"data {name} takes no inputs from outside: it has no prepare_input()")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an array: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{path} is an archive of several arrays", fix="save one array with np.save"
        )
    inputs = datamodule.prepare_input(array)
    return DataLoader(inputs, batch_size=getattr(datamodule, "batch_size", 64))


def in_order(batches: Sequence[Tensor], trainer: lightning.Trainer) -> Tensor:
    """All processes' predictions ``(N, C)`` in the order of the records.

    Process r of w predicts the records r, r + w, r + 2w, ...
    """
    mine = torch.cat(list(batches)) if batches else torch.empty(0)
    if trainer.world_size == 1:
        return mine
    parts: list[Tensor | None] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, mine)
    rows = mine.new_empty((sum(map(len, parts)), *mine.shape[1:]))
    for rank, part in enumerate(parts):
        rows[rank :: trainer.world_size] = part
    return rows


def write_predictions(probabilities: Tensor, spec: DataSpec, path: Path) -> None:
    """CSV with index, predicted class, and the probability of each class.

    Raises:
        DataError: the predictions are no class probabilities.
    """
    if probabilities.ndim != 2:
        raise DataError(
            f"predictions of shape {tuple(probabilities.shape)} are no table of probabilities"
        )
    count = probabilities.shape[1]
    names = spec.class_names or tuple(str(label) for label in range(count))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "predicted", *(f"p_{name}" for name in names)])
    for index, row in enumerate(probabilities.tolist()):
        best = max(range(count), key=row.__getitem__)
        writer.writerow([index, names[best], *(f"{p:.6g}" for p in row)])
    write_text(path, text.getvalue())


def free_path(folder: Path) -> Path:
    """``predictions.csv``, or with the next number when it exists."""
    path, number = folder / "predictions.csv", 1
    while path.exists():
        number += 1
        path = folder / f"predictions-{number}.csv"
    return path
