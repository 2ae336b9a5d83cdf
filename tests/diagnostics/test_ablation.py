"""Ablation: the runs, what is not run again, and what the differences say."""

import math
from pathlib import Path

import pytest
from matplotlib.image import imread

from dlplug.diagnostics.ablation import Outcome, ablate, draw_ablation, student, summary
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


def outcomes(*values):
    return [Outcome(f"v{i}", dict(enumerate(v))) for i, v in enumerate(values)]


def test_differences_are_paired_by_seed():
    """A shift that is the same with every seed is clear, though the seeds differ much more."""
    found = summary("val_accuracy", True, outcomes([0.5, 0.7, 0.9], [0.48, 0.681, 0.879]))
    worse = found.outcomes[1]
    assert worse.verdict == "worse" and worse.difference == pytest.approx(-0.02, abs=1e-3)
    # Half the interval by hand: t(2) * s / sqrt(3), s = 0.001.
    assert worse.uncertainty == pytest.approx(4.303 * 0.001 / math.sqrt(3), rel=1e-3)


def test_noise_is_unclear_and_one_seed_says_nothing():
    """The interval holds 0."""
    found = summary("val_f1", True, outcomes([0.5, 0.7], [0.6, 0.6]))
    assert found.outcomes[1].verdict == "unclear"
    one = summary("val_f1", True, outcomes([0.5], [0.6])).outcomes[1]
    assert (one.verdict, one.uncertainty, one.spread) == ("one seed: unknown", None, None)
    found = summary("val_f1", True, outcomes([0.5, 0.7], [0.5, 0.7]))
    assert found.outcomes[1].verdict == "unclear"


def test_a_loss_is_better_when_smaller():
    """The same difference, the other verdict."""
    values = [0.5, 0.7, 0.9], [0.48, 0.681, 0.879]
    assert summary("val_loss", False, outcomes(*values)).outcomes[1].verdict == "better"


def test_many_seeds_have_students_points_too():
    """Beside the tables': the normal's 1.96 is for no number of seeds."""
    points = {1: 12.71, 10: 2.228, 11: 2.201, 12: 2.179, 20: 2.086, 30: 2.042, 100: 1.984}
    assert {freedom: round(student(freedom), 3) for freedom in points} == points


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_seeds_must_be_different_numbers(experiment, seeds):
    """The message holds them."""
    with pytest.raises(InvalidValueError, match="seeds = "):
        ablate(experiment(), [WITHOUT], seeds=seeds)


def test_the_metric_tells_its_direction(experiment, monkeypatch):
    """Whatever it is called: of one that its class calls an error, more is worse."""
    monkeypatch.setattr("dlplug.metrics.accuracy.Accuracy.higher_is_better", False)
    found = ablate(experiment(*TINY), [WITHOUT], seeds=[0], metric="val_accuracy", progress=len)
    assert not found.larger_is_better


def test_a_metric_that_nobody_logs_is_refused_at_once(experiment, tmp_path):
    """With the known ones, before anything is trained."""
    with pytest.raises(InvalidValueError, match="whether 'val_acuracy' is better") as error:
        ablate(experiment(*TINY), [WITHOUT], seeds=[0], metric="val_acuracy", progress=len)
    assert error.value.fix == "did you mean 'val_accuracy'?" and list(tmp_path.iterdir()) == []


def test_a_metric_that_a_run_lacks_is_refused(experiment):
    """With those that it has."""
    made = experiment(("trainer.limit_train_batches", "2"), ("trainer.limit_val_batches", "0"))
    with pytest.raises(InvalidValueError, match="has no metric 'val_accuracy'") as error:
        ablate(made, [WITHOUT], seeds=[0], metric="val_accuracy", progress=len)
    assert error.value.fix == "did you mean 'train_accuracy'?"
