"""Ablation: the runs, what is not run again, and what the differences say."""

import math
from pathlib import Path

import pytest
from matplotlib.image import imread

from dlplug.diagnostics.ablation import Outcome, ablate, draw_ablation, monitor_of, summary
from dlplug.diagnostics.variants import Variant
from dlplug.errors import DlplugError, InvalidValueError

WITHOUT = Variant("no-dropout", (("architecture.dropout", 0.0),))
TINY = (("trainer.limit_train_batches", "2"), ("trainer.limit_val_batches", "1"))


def test_runs_are_made_once(experiment, tmp_path):
    """Under a name for each variant, equal to a run by hand; the second time nothing is trained."""
    said = []
    found = ablate(experiment(*TINY), [WITHOUT], seeds=[0, 1], progress=said.append)
    assert [o.variant for o in found.outcomes] == ["base", "no-dropout"]
    assert found.metric == "val_accuracy" and found.larger_is_better
    folders = sorted(
        str(p.parent.relative_to(tmp_path)) for p in tmp_path.glob("runs/*/*/run.json")
    )
    assert folders == [f"runs/tiny-ablate-{v}/{n}" for v in ("base", "no-dropout") for n in (1, 2)]
    assert said[0] == "[1/4] base, seed 0" and not any("before" in line for line in said)
    said.clear()
    again = ablate(experiment(*TINY), [WITHOUT], seeds=[0, 1], progress=said.append)
    assert again == found and sum("finished before" in line for line in said) == 4
    path = draw_ablation(found, Path("a.png"), "x")
    assert imread(path).shape[1] > 800


def test_a_variant_that_does_not_fit_is_refused_at_once(experiment, tmp_path):
    """Before anything is trained."""
    with pytest.raises(DlplugError, match="dropout"):
        ablate(experiment(*TINY), [Variant("x", (("architecture.dropot", 1),))], seeds=[0])
    assert list(tmp_path.iterdir()) == []


def test_the_best_epoch_is_the_checkpoints(experiment):
    """As the callback says, if it is there."""
    assert monitor_of(experiment()) == ("val_loss", "min")
    chosen = "[{name: checkpoint, monitor: val_accuracy, mode: max}]"
    assert monitor_of(experiment(("callbacks", chosen))) == ("val_accuracy", "max")


def outcomes(*values):
    return [Outcome(f"v{i}", dict(enumerate(v))) for i, v in enumerate(values)]


def test_differences_are_paired_by_seed():
    """A shift that is the same with every seed is clear, though the seeds differ much more."""
    found = summary("val_accuracy", outcomes([0.5, 0.7, 0.9], [0.48, 0.681, 0.879]))
    worse = found.outcomes[1]
    assert worse.verdict == "worse" and worse.difference == pytest.approx(-0.02, abs=1e-3)
    # Half the interval by hand: t(2) * s / sqrt(3), s = 0.001.
    assert worse.uncertainty == pytest.approx(4.303 * 0.001 / math.sqrt(3), rel=1e-3)


def test_noise_is_unclear_and_one_seed_says_nothing():
    """The interval holds 0."""
    assert summary("val_f1", outcomes([0.5, 0.7], [0.6, 0.6])).outcomes[1].verdict == "unclear"
    one = summary("val_f1", outcomes([0.5], [0.6])).outcomes[1]
    assert (one.verdict, one.uncertainty, one.spread) == ("one seed: unknown", None, None)
    assert summary("val_f1", outcomes([0.5, 0.7], [0.5, 0.7])).outcomes[1].verdict == "unclear"


def test_a_loss_is_better_when_smaller():
    """The same difference, the other verdict."""
    values = [0.5, 0.7, 0.9], [0.48, 0.681, 0.879]
    assert summary("val_loss", outcomes(*values)).outcomes[1].verdict == "better"


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_seeds_must_be_different_numbers(experiment, seeds):
    """The message holds them."""
    with pytest.raises(InvalidValueError, match="seeds = "):
        ablate(experiment(), [WITHOUT], seeds=seeds)


def test_an_unknown_metric_is_refused(experiment):
    """With the known ones."""
    with pytest.raises(InvalidValueError, match="has no metric 'val_acuracy'") as error:
        ablate(experiment(*TINY), [WITHOUT], seeds=[0], metric="val_acuracy", progress=len)
    assert error.value.fix == "did you mean 'val_accuracy'?"
