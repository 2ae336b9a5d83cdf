"""The callbacks of a training: those of the config, and those that every run has."""

from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Callback, ProgressBar

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.finite_steps import FiniteSteps
from dlplug.callbacks.implicit.metric_state import MetricState
from dlplug.callbacks.implicit.optimizer_dtypes import OptimizerDtypes
from dlplug.callbacks.implicit.progress import progress_bar
from dlplug.callbacks.implicit.random_state import RandomState
from dlplug.callbacks.implicit.resumption import Resumption
from dlplug.callbacks.implicit.termination import Termination
from dlplug.callbacks.pretrained import Pretrained
from dlplug.run.start import RunStart

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def run_callbacks(
    experiment: "Experiment", start: RunStart, termination: Termination, progress: bool
) -> list[Callback]:
    """In their order; what the config names takes the place of the one that a run would have.

    Args:
        experiment: Names the callbacks, and says what the Trainer may do.
        start: Opens the run's folder.
        termination: Ends the training between two steps.
        progress: Whether to show a progress bar, or lines.
    """
    arguments = experiment.trainer_arguments
    given = experiment.build_callbacks()
    if start.checkpoint is not None:  # it has weights already, and the other file may be gone
        given = [c for c in given if not isinstance(c, Pretrained)]
    callbacks = [RandomState(), MetricState(), OptimizerDtypes()]
    if not _has(given, FiniteSteps):
        callbacks.append(FiniteSteps())
    callbacks += [*given, Resumption(), termination]
    # Lightning's trial run writes nothing, so it gets no folder.
    if not arguments.get("fast_dev_run"):
        callbacks.insert(0, start)
        if not _has(given, Checkpoint) and arguments.get("enable_checkpointing", True):
            callbacks.append(Checkpoint())
    if progress and arguments.get("enable_progress_bar", True) and not _has(given, ProgressBar):
        callbacks.append(progress_bar())
    return callbacks


def _has(callbacks: list[Callback], kind: type[Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)
