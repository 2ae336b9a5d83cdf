"""Whether a metric is better when larger, as the metric itself or the config says."""

from typing import TYPE_CHECKING

from dlplug.errors import InvalidValueError, suggestion
from dlplug.run.parts import build_task
from dlplug.tasks.task import Task

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def monitor_of(experiment: "Experiment") -> tuple[str, str] | None:
    """What the config's callback checkpoint watches, and ``min`` or ``max``; None without one."""
    for callback in experiment.resolved.get("callbacks") or []:
        if isinstance(callback, dict) and str(callback.get("name")).endswith(":checkpoint"):
            return callback.get("monitor", "val_loss"), callback.get("mode", "min")
    return None


def is_better_when_larger(experiment: "Experiment", metric: str) -> bool:
    """The direction of a metric: its own, else that of the callback checkpoint that watches it.

    A loss is better when smaller, whatever the task.

    Args:
        experiment: Logs it.
        metric: With the stage in front: ``val_accuracy``.
    Raises:
        InvalidValueError: nothing says it, as of a metric that nothing logs or that has a best
            value between others.
    """
    if metric.partition("_")[2] == "loss":
        return False
    task = build_task(experiment)
    is_ours = isinstance(task, Task)
    is_larger = task.is_better_when_larger(metric.partition("_")[2]) if is_ours else None
    if is_larger is None and (watched := monitor_of(experiment)) and watched[0] == metric:
        is_larger = watched[1] == "max"
    if is_larger is None:
        logged = sorted(task.logged_names("val")) if is_ours else []
        near = None if metric in logged else suggestion(metric, logged)
        raise InvalidValueError(
            f"nothing says whether {metric!r} is better when larger or when smaller",
            known=", ".join(logged) or None,
            fix=near
            or "choose another metric, give its class higher_is_better = True or False, or watch"
            f" it: --callbacks+ '{{name: checkpoint, monitor: {metric}, mode: max}}'",
        )
    return is_larger
