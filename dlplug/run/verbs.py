"""What the commands fit, validate, test and predict do, through Lightning's Trainer."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
from lightning.pytorch.utilities import rank_zero_only

from dlplug.errors import CheckpointError, ConfigError, RunError
from dlplug.run.evaluation import evaluate
from dlplug.run.folder import ROOT, Run
from dlplug.run.lock import LOCK, lock_of
from dlplug.run.lock_difference import WRITE, require_lock
from dlplug.run.parts import with_trained_seed
from dlplug.run.prediction import predict_to_file
from dlplug.run.quiet import quiet
from dlplug.run.result import Result
from dlplug.run.training import Training
from dlplug.storage.checkpoint import newest_intact, read_outline

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

AUTO = "auto"


def fit(
    experiment: "Experiment",
    *,
    name: str | None = None,
    resume: str | None = None,
    ckpt_path: str | os.PathLike | None = None,
    locked: bool | str | os.PathLike = False,
    relock: str = WRITE,
    any_split: bool = False,
    progress: bool = True,
    root: str | os.PathLike = ROOT,
) -> Result:
    """Train in a run folder, then test the best weights once.

    Args:
        experiment: What to train.
        name: Of the run; None for the experiment's name, or that of the run that goes on.
        resume: ``auto`` goes on with the newest unfinished run of that name or starts one;
            anything else names a run that goes on (see `Run.find`). None starts a new one.
        ckpt_path: A checkpoint from which a new run goes on.
        locked: A lock that the code must agree with; True for that of the run that goes on, or
            ``plugins.lock`` in the working folder.
        relock: The command that writes such a lock anew, for the message.
        any_split: Whether to go on although the same data is divided otherwise than before.
        progress: Whether to show a progress bar, or lines where there is no terminal.
        root: Under which the runs stand.
    Raises:
        DlplugError: something does not fit; nothing has been written.
    """
    given, name = name, name or experiment.name
    if resume is not None and ckpt_path is not None:
        raise ConfigError(
            "resume and ckpt_path exclude each other",
            fix="resume goes on in the old run folder, ckpt_path starts a new one",
        )
    continued = None
    if resume is not None:
        is_auto = resume == AUTO
        continued = Run.unfinished(root, name) if is_auto else _named(Run.find(resume, root), given)
    if locked is not False:
        default = continued.lock if continued else Path(LOCK)
        path = default if locked is True else Path(locked)
        is_own = continued is not None and path.resolve() == continued.lock.resolve()
        require_lock(
            path,
            # What presets say stands in the run's config; its lock has none.
            lock_of(experiment.code if is_own else [*experiment.code, *experiment.presets]),
            # A project's lock may hold more than this experiment uses; that of the run does not.
            is_part=not is_own,
            renames=experiment.registry.renames,
            accept="go on without --locked" if is_own else relock,
            who=_who(),
        )
    checkpoint = Path(ckpt_path) if ckpt_path is not None else continued and _newest(continued)
    if continued is not None:
        experiment = with_trained_seed(experiment, read_outline(checkpoint), checkpoint)
    with quiet():
        lightning.seed_everything(experiment.seed, workers=True, verbose=False)
        return Training(experiment, Path(root), name, continued, checkpoint, progress, any_split)()


def validate(
    experiment: "Experiment",
    *,
    run: Run | None = None,
    ckpt_path: str | os.PathLike | None = None,
    any_split: bool = False,
    progress: bool = True,
) -> Result:
    """Metrics on the validation split; arguments as for `test`."""
    with quiet():
        checkpoint = _checkpoint("validate", run, ckpt_path)
        return evaluate("validate", experiment, run, checkpoint, progress, any_split)


def test(
    experiment: "Experiment",
    *,
    run: Run | None = None,
    ckpt_path: str | os.PathLike | None = None,
    any_split: bool = False,
    progress: bool = True,
) -> Result:
    """Metrics on the test split; counted in the run folder.

    Args:
        experiment: Names the data and the architecture.
        run: Whose best checkpoint is used, and where the test is recorded.
        ckpt_path: Another checkpoint.
        any_split: Whether to take other records than those that the training kept apart, of the
            same data; other data is taken anyway, and is no test of the run.
        progress: Whether to show a progress bar.
    Raises:
        DlplugError: no checkpoint is named, or it does not fit.
    """
    with quiet():
        checkpoint = _checkpoint("test", run, ckpt_path)
        return evaluate("test", experiment, run, checkpoint, progress, any_split)


def predict(
    experiment: "Experiment",
    *,
    run: Run | None = None,
    ckpt_path: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    input: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    any_split: bool = False,
    progress: bool = True,
) -> Result:
    """Write what the model says of each input as CSV; the task decides on the columns.

    Args:
        experiment: Names the data and the architecture.
        run: Whose best checkpoint is used, and whose folder takes the file.
        ckpt_path: Another checkpoint, or several, whose predictions are averaged.
        input: Raw inputs, in a form that the data module reads, which needs no training data; None
            for the test split.
        output: CSV file; None for a new file in the run folder.
        any_split: See `test`.
        progress: Whether to show a progress bar.
    Raises:
        DlplugError: the checkpoint or the inputs do not fit.
    """
    with quiet():
        chosen = ckpt_path if isinstance(ckpt_path, (list, tuple)) else [ckpt_path]
        checkpoints = [_checkpoint("predict", run, path) for path in chosen or [None]]
        source, target = (None if p is None else Path(p) for p in (input, output))
        return predict_to_file(experiment, run, checkpoints, source, target, progress, any_split)


def _who() -> str:
    """This process, where a launcher started several; empty for the only one."""
    is_one_of_many = any(name in os.environ for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))
    return f"process {rank_zero_only.rank}" if is_one_of_many else ""


def _named(run: Run, name: str | None) -> Run:
    """The run that goes on, under the name that it has.

    Raises:
        ConfigError: it is to have another.
    """
    if name not in (None, run.name):
        raise ConfigError(
            f"the name {name!r} would say nothing: {run.path} goes on under its own",
            fix=f"leave the name out, or start a run of that name: --ckpt_path {run.last}",
        )
    return run


def _newest(run: Run) -> Path:
    """Where a run goes on: its last checkpoint, or the one before when that is damaged.

    Raises:
        RunError: it has none.
        CheckpointError: all are damaged.
    """
    found = newest_intact([run.last, run.previous])
    if found is not None:
        return found
    if run.has_last:
        raise CheckpointError(
            f"the checkpoints last.ckpt and previous.ckpt of {run.path} are damaged or missing",
            fix=f"fit --ckpt_path {run.best} starts a new run from the best one, if it is intact",
        )
    raise RunError(f"{run.path} ended before its first checkpoint", fix="start a new run")


def _checkpoint(verb: str, run: Run | None, ckpt_path: str | os.PathLike | None) -> Path:
    """The checkpoint that was named, else the run's best one, else its last one."""
    if ckpt_path is not None:
        return Path(ckpt_path)
    if run is None:
        raise ConfigError(
            f"{verb} needs trained weights",
            fix=f"{verb} --run NAME for a run of yours, or --ckpt_path FILE",
        )
    return run.weights
