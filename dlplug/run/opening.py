"""Make or reopen a run folder for a training."""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dlplug.callbacks.implicit.metric_state import KEY as METRIC_STATE
from dlplug.config.yaml_dialect import render
from dlplug.loggers.metrics_file import cut_metrics
from dlplug.plugin.hashes import python_files, tree_hash
from dlplug.run.environment import environment
from dlplug.run.folder import Run
from dlplug.run.lock import Lock, lock_text
from dlplug.run.lock_difference import differences_from_text, joined
from dlplug.storage.checkpoint import read_outline
from dlplug.storage.files import write_text

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def fill_run(run: Run, experiment: "Experiment", lock: Lock) -> None:
    """Write what is known at the start of a new run.

    Args:
        run: Just allocated.
        experiment: Its data module is loaded.
        lock: Of the code that is here.
    """
    write_text(run.config, render(experiment.given))
    write_text(run.resolved, experiment.to_yaml())
    write_text(run.lock, lock_text(lock))
    for file in experiment.registry.files():
        _keep_code(Path(file), run.plugins)
    surroundings = environment(experiment.seed, experiment.datamodule)
    write_text(run.environment, json.dumps(surroundings, indent=2) + "\n")


def reopen_run(run: Run, experiment: "Experiment", lock: Lock, checkpoint: Path) -> None:
    """Prepare an old run for going on after ``checkpoint``.

    Metrics from after the checkpoint are taken out, since they will be written again. What has
    changed in config or code stands beside the original, as in ``resolved.1.yaml`` or in the folder
    ``plugins.1`` for plugin files (where no earlier start has kept the same ones), and a change of
    code is said on standard error.
    """
    if run.lock.exists():
        old, renames = run.lock.read_text(encoding="utf-8"), experiment.registry.renames
        if found := differences_from_text(old, lock, renames=renames):
            print(f"the code is not what {run.path} began with: {joined(found)}", file=sys.stderr)
    times = run.status.get("resumed", 0) + 1
    for path, text in ((run.resolved, experiment.to_yaml()), (run.lock, lock_text(lock))):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path.with_name(f"{path.stem}.{times}{path.suffix}"), text)
    files = [Path(file) for file in experiment.registry.files()]
    if not any(_holds(folder, files) for folder in _kept(run)):
        for file in files:
            _keep_code(file, run.plugins.with_name(f"{run.plugins.name}.{times}"))
    content = read_outline(checkpoint)
    pending = (content.get(METRIC_STATE) or {}).get("row")
    cut_metrics(run.metrics, content["global_step"], pending, run.status["status"] == "finished")
    run.update(status="running", resumed=times, finished=None)


def _kept(run: Run) -> list[Path]:
    """The folders with copies of plugin files."""
    return [run.plugins, *run.path.glob(f"{run.plugins.name}.*[0-9]")]


def _holds(folder: Path, files: list[Path]) -> bool:
    """Whether the folder has a copy of each of these plugin files."""
    return all(tree_hash(file) == tree_hash(folder / file.name) for file in files)


def _keep_code(path: Path, folder: Path) -> None:
    """Copy a plugin file: it is nowhere else, once it has been changed."""
    for file in python_files(path):
        target = folder / file.relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
