"""Predict the test split or an array, and write what comes out as CSV."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import lightning

from dlplug.callbacks.heartbeat import watched
from dlplug.errors import ConfigError
from dlplug.run.ensemble import averaged_later, own_experiments, refuse_other_meanings
from dlplug.run.evaluation import evaluation_trainer, task_of
from dlplug.run.folder import Run
from dlplug.run.parts import build_data, name_of, prepared_as_trained
from dlplug.run.prediction_inputs import Inputs, input_loader, names_of
from dlplug.run.prediction_output import PredictionOutput, has_arrays
from dlplug.run.prediction_spool import Spool
from dlplug.run.prediction_stream import Predictions, PredictionStream
from dlplug.run.result import Result
from dlplug.run.trained_data import check_split
from dlplug.storage.checkpoint import read_outline
from dlplug.storage.output_file import check_output, is_regular, scratch_folder

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# A table that ends early looks like one of all records.
EVERYTHING = {"limit_predict_batches": 1.0, "fast_dev_run": False}


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
        target: CSV file, which may exist, a device or a pipe; None for a new file in the run
            folder.
        progress: Whether to show a progress bar.
        any_split: Whether another division of the training's data is taken.
    Raises:
        DlplugError: the checkpoint, the inputs or the test split do not fit, or there is no place
            to write to.
    """
    started = time.monotonic()
    if target is None and run is None:
        raise ConfigError("there is no place for the predictions", fix="give --output FILE.csv")
    if target is not None:
        check_output(target)
    outlines = list(map(read_outline, checkpoints))
    if source is None:
        experiments = list(map(prepared_as_trained, repeat(experiment), outlines, checkpoints))
        refuse_other_meanings(checkpoints, [one.data_spec for one in experiments])
        for one in experiments:
            build_data(one)
    else:
        # A config without a run is one of the user's own, for the one checkpoint that he names.
        is_own = run is None and len(checkpoints) == 1
        experiments = [experiment] if is_own else own_experiments(experiment, checkpoints)
    tasks = list(map(task_of, experiments, checkpoints))
    if target is not None and not is_regular(target) and has_arrays(tasks[-1]):
        raise ConfigError(
            f"{target} is no file, and the task {name_of(experiment, 'task')} writes arrays beside"
            " its table",
            fix="give --output FILE.csv",
        )
    if target is not None and target.suffix == ".npz" and has_arrays(tasks[-1]):
        raise ConfigError(
            f"{target} is the name of the arrays that the task {name_of(experiment, 'task')} writes"
            " beside its table",
            fix=f"give --output {target.with_suffix('.csv')}",
        )
    records = [
        check_split("predict", one, outline, checkpoint, any_split)
        for one, outline, checkpoint in zip(experiments, outlines, checkpoints, strict=True)
        if source is None
    ]
    folder = run.path if target is None else scratch_folder(target)
    *parts, last = zip(experiments, tasks, checkpoints, strict=True)
    data = read_by = None

    def data_of(one: "Experiment") -> lightning.LightningDataModule:
        nonlocal data, read_by
        if one is not read_by:
            data = one.datamodule if source is None else Inputs(input_loader(one, source))
            read_by = one
        return data

    with ExitStack() as stack:
        spools = [stack.enter_context(closing(Spool(folder))) for _ in parts]
        for (one, task, checkpoint), spool in zip(parts, spools, strict=True):
            trainer = evaluation_trainer(one, progress, EVERYTHING)
            _predict(trainer, task, data_of(one), checkpoint, averaged_later(spool.add))
        trainer = evaluation_trainer(last[0], progress, EVERYTHING)
        result = Result("predict", run=run and run.path, is_main=trainer.is_global_zero)
        output = PredictionOutput(folder, tasks[-1], spools, names_of(data_of(last[0])))
        stack.enter_context(closing(output))

        def finish() -> None:
            if not output.num_records:
                raise nothing
            result.predictions, result.arrays = output.finish(target, folder)

        nothing = ConfigError(f"data {name_of(experiment, 'data')} has no records to predict")
        if not _predict(trainer, last[1], data_of(last[0]), last[2], output.add, finish):
            raise nothing
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
    end: Callable[[], object] = lambda: None,
) -> bool:
    """Whether there was anything; what the callables raise in the first process, all raise."""
    stream = PredictionStream(receive, end)
    trainer.callbacks.append(stream)
    with watched(trainer):
        trainer.predict(
            task, data, ckpt_path=checkpoint, return_predictions=False, weights_only=True
        )
    return stream.has_ended
