"""Train a config and its variants with the same seeds, and say what each thing is worth."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from dlplug.config import load
from dlplug.config.document import parse
from dlplug.diagnostics.direction import is_better_when_larger, monitor_of
from dlplug.diagnostics.picture import MAIN, MARK, QUIET, clean, figure
from dlplug.diagnostics.variants import BASE, Variant, distinct
from dlplug.errors import ConfigError, InvalidValueError, suggestion
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.run.folder import ROOT, Run
from dlplug.run.metrics import best_epoch, metrics_of_epoch

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# Two-sided 95 % points of Student's t by degrees of freedom, then the normal's, from which those of
# more degrees follow.
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
NORMAL = 1.959964


@dataclass
class Outcome:
    """What a variant reached.

    Args:
        variant: Its name.
        values: The metric by seed.
        runs: Folder by seed.
        mean: Of the values.
        spread: Standard deviation over the seeds; None with one seed.
        difference: To the base, mean over the seeds; None for the base.
        uncertainty: Half the 95 % interval of the difference; None with one seed.
        verdict: ``better``, ``worse`` or ``unclear`` (the interval holds 0).
    """

    variant: str
    values: dict[int, float] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    mean: float = math.nan
    spread: float | None = None
    difference: float | None = None
    uncertainty: float | None = None
    verdict: str = ""


@dataclass
class Ablation:
    """All variants, the base first.

    Args:
        metric: What was compared, on the validation split, of the best epoch.
        larger_is_better: Its direction.
        outcomes: One for each variant.
    """

    metric: str
    larger_is_better: bool
    outcomes: list[Outcome]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def ablate(
    experiment: "Experiment",
    variants: Sequence[Variant],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    metric: str | None = None,
    trust: Sequence[str] = (),
    root: Path = Path(ROOT),
    progress: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> Ablation:
    """Train base and variants, each with every seed, each in a run folder of its own.

    The runs stand under ``<name>-ablate-<variant>``. One that has finished with the same config is
    not trained again, and one that was interrupted goes on.

    Args:
        experiment: The base.
        variants: What to change; see `dlplug.diagnostics.variants`.
        seeds: Of the trainings; the same ones for every variant, so that differences are paired.
        metric: A ``val_`` metric; None for the first one of the config, or the loss.
        trust: Modules that class paths may lead into.
        root: Under which the runs stand.
        progress: Is told of each training.
    Raises:
        DlplugError: something does not fit; all variants are checked before the first training.
    """
    if not variants:
        raise InvalidValueError("an ablation needs something to remove or set")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InvalidValueError(f"ablate: seeds = {list(seeds)} are not different numbers from 0")
    planned = []
    for variant in distinct([BASE, *variants]):
        for seed in seeds:
            name = f"{experiment.name}-ablate-{variant.name}"
            overrides = [*experiment.given.items(), *variant.overrides]
            overrides += [("seed_everything", seed), ("name", name)]
            made = load([], overrides, experiment.registry, trust=trust)
            planned.append((variant, seed, made))
    metric = metric or default_metric(experiment)
    is_larger = is_better_when_larger(experiment, metric)
    outcomes = {variant.name: Outcome(variant.name) for variant, _, _ in planned}
    for number, (variant, seed, made) in enumerate(planned, 1):
        progress(f"[{number}/{len(planned)}] {variant.name}, seed {seed}")
        run, is_new = trained(made, root)
        value = value_of(run, metric, *(monitor_of(made) or ()))
        outcome = outcomes[variant.name]
        outcome.values[seed], outcome.runs[seed] = value, str(run.path)
        progress(f"    {metric} {value:.4f}  {run.path}{'' if is_new else ' (finished before)'}")
    return summary(metric, is_larger, list(outcomes.values()))


def default_metric(experiment: "Experiment") -> str:
    """``val_`` and the name of the first metric; the loss without metrics."""
    for chosen in experiment.resolved.get("metrics") or []:
        name = chosen.get("name", "") if isinstance(chosen, dict) else chosen
        return f"val_{str(name).rpartition(':')[2]}"
    return "val_loss"


def trained(experiment: "Experiment", root: Path) -> tuple[Run, bool]:
    """A finished run of this very config, and whether it had to be trained."""
    unfinished = None
    for run in Run.of_name(root, experiment.name):
        if not run.resolved.is_file() or run.is_held():
            continue
        if parse(run.resolved.read_text(encoding="utf-8"), "run").plain() != experiment.resolved:
            continue
        if run.status["status"] == "finished":
            return run, False
        unfinished = run if run.has_last else unfinished
    resume = str(unfinished.path) if unfinished else None
    result = verbs.fit(experiment, resume=resume, progress=False, root=root)
    if result.run is None:
        raise ConfigError("an ablation needs whole trainings", fix="leave out trainer.fast_dev_run")
    return Run(result.run), True


def value_of(run: Run, metric: str, monitor: str = "val_loss", mode: str = "min") -> float:
    """The metric in the best epoch.

    Args:
        run: A finished one.
        metric: Its name.
        monitor: Metric by which an epoch is the best.
        mode: ``min`` or ``max``.
    Raises:
        InvalidValueError: the run has no such metric.
    """
    rows = read_metrics(run.metrics)
    values = metrics_of_epoch(rows, best_epoch(rows, monitor, mode))
    if metric not in values:
        raise InvalidValueError(
            f"{run.path} has no metric {metric!r}",
            known=", ".join(sorted(values)),
            fix=suggestion(metric, values),
        )
    return values[metric]


def summary(metric: str, larger_is_better: bool, outcomes: list[Outcome]) -> Ablation:
    """Fill in means, spreads and the paired differences to the first outcome."""
    base = outcomes[0]
    for outcome in outcomes:
        values = list(outcome.values.values())
        outcome.mean = mean(values)
        outcome.spread = stdev(values) if len(values) > 1 else None
        if outcome is base:
            continue
        pairs = [outcome.values[seed] - base.values[seed] for seed in outcome.values]
        outcome.difference = mean(pairs)
        if len(pairs) > 1:
            outcome.uncertainty = student(len(pairs) - 1) * stdev(pairs) / math.sqrt(len(pairs))
        outcome.verdict = verdict(outcome.difference, outcome.uncertainty, larger_is_better)
    return Ablation(metric, larger_is_better, outcomes)


def student(freedom: int) -> float:
    """95 % point of Student's t, to four digits.

    References: Abramowitz, Stegun 1964, 26.7.5, for more degrees of freedom than the table has.
    """
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    z, n = NORMAL, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def verdict(difference: float, uncertainty: float | None, larger_is_better: bool) -> str:
    """What a difference says about the variant; one seed says nothing."""
    if uncertainty is None:
        return "one seed: unknown"
    # Equal differences have no spread, and equal results no difference.
    if difference == 0 or not abs(difference) > uncertainty:
        return "unclear"
    return "better" if (difference > 0) == larger_is_better else "worse"


def draw_ablation(ablation: Ablation, path: Path, title: str) -> Path:
    """Each variant's runs, mean and the 95 % interval of its difference to the base.

    Raises:
        ImportError: matplotlib is not installed.
    """
    outcomes = ablation.outcomes
    made, axis = figure(7.0, 1.2 + 0.42 * len(outcomes), title)
    base = outcomes[0].mean
    axis.axvline(base, color=QUIET, linewidth=0.9, linestyle=":")
    for height, outcome in enumerate(reversed(outcomes)):
        values = list(outcome.values.values())
        axis.plot(values, [height] * len(values), "o", color=QUIET, alpha=0.55, markersize=4)
        color = {"better": MAIN, "worse": MARK}.get(outcome.verdict, "#404040")
        error = outcome.uncertainty or 0.0
        axis.errorbar(
            [outcome.mean], [height], xerr=[error], fmt="D", color=color, markersize=5, capsize=3
        )
    axis.set_yticks(range(len(outcomes)), [o.variant for o in reversed(outcomes)])
    axis.set_ylim(-0.6, len(outcomes) - 0.4)
    direction = "larger" if ablation.larger_is_better else "smaller"
    axis.set_xlabel(
        f"{ablation.metric.replace('_', ' ')} ({direction} is better);"
        " bars: 95 % interval of the difference to the base"
    )
    axis.xaxis.label.set_size(8)
    clean(axis)
    made.savefig(path)
    return path
