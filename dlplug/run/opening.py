"""Make or reopen a run folder for a training."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dlplug.callbacks.implicit.metric_state import KEY as METRIC_STATE
from dlplug.config.yaml_dialect import render
from dlplug.loggers.metrics_file import cut_metrics
from dlplug.run.environment import environment
from dlplug.run.folder import Run
from dlplug.run.lock import lock_difference
from dlplug.storage.checkpoint import read_outline
from dlplug.storage.files import write_text

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def fill_run(run: Run, experiment: "Experiment", lock: str) -> None:
    """Write what is known at the start of a new run.

    Args:
        run: Just allocated.
        experiment: Its data module is loaded.
        lock: Text of plugins.lock.
    """
    write_text(run.config, render(experiment.given))
    write_text(run.resolved, experiment.to_yaml())
    write_text(run.lock, lock)
    surroundings = environment(experiment.seed, experiment.datamodule)
    write_text(run.environment, json.dumps(surroundings, indent=2) + "\n")


def reopen_run(run: Run, experiment: "Experiment", lock: str, checkpoint: Path) -> None:
    """Prepare an old run for going on after ``checkpoint``.

    Metrics from after the checkpoint are taken out, since they will be written again. What has
    changed in config or code stands beside the original, as in ``resolved.1.yaml``, and a change of
    code is said on standard error.
    """
    if run.lock.exists():
        difference = lock_difference(
            run.lock.read_text(encoding="utf-8"), lock, experiment.registry.renames
        )
        if difference:
            print(f"the code is not what {run.path} began with: {difference}", file=sys.stderr)
    times = run.status.get("resumed", 0) + 1
    for path, text in ((run.resolved, experiment.to_yaml()), (run.lock, lock)):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path.with_name(f"{path.stem}.{times}{path.suffix}"), text)
    content = read_outline(checkpoint)
    pending = (content.get(METRIC_STATE) or {}).get("row")
    cut_metrics(run.metrics, content["global_step"], pending, run.status["status"] == "finished")
    run.update(status="running", resumed=times, finished=None)
