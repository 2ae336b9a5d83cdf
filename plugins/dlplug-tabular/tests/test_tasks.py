"""The tasks for ensembles, by what a single network's tasks say of each member."""

import pytest
import torch
from dlplug_tabular.tasks import (
    EnsembleClassification,
    EnsembleRegression,
    MemberLoss,
    joint_scores,
)
from torch import nn
from torch.nn import functional

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import CrossEntropyLoss

SCORES = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
SPEC = DataSpec(num_targets=2, target_mean=(1.0, 2.0), target_std=(3.0, 4.0))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_of_the_members_losses(smoothing):
    """Each member is compared with every label."""
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    expected = torch.stack([loss(SCORES[:, i], LABELS) for i in range(3)]).mean()
    torch.testing.assert_close(MemberLoss(loss)(SCORES, LABELS), expected)


def test_a_batch_counts_by_the_weights_of_its_classes():
    """Where the members' loss has some; a function has none."""
    loss = CrossEntropyLoss(class_weights=[4.0, 1.0, 1.0, 1.0])
    assert float(MemberLoss(loss).weight_of(LABELS)) == 12.0
    assert MemberLoss(functional.cross_entropy).weight_of(LABELS) is None


def test_predictions_are_the_mean_of_the_members_probabilities():
    """In measuring and predicting; not the softmax of the mean score, which differs."""
    task = EnsembleClassification(nn.Identity(), functional.cross_entropy)
    expected = SCORES.softmax(-1).mean(1)
    torch.testing.assert_close(task.measured(SCORES, LABELS)[0], expected)
    torch.testing.assert_close(task.predicted(SCORES), expected)
    assert not torch.allclose(SCORES.mean(1).softmax(-1), expected, atol=0.01)


def test_a_probability_that_float32_cannot_hold_stays_finite():
    """Scores that are far apart give no infinite logarithm; half precision is raised first."""
    scores = torch.tensor([[[0.0, 500.0], [0.0, 400.0]]]).bfloat16()
    assert joint_scores(scores).isfinite().all()
    assert joint_scores(scores).dtype == torch.float32


def test_numbers_are_the_members_mean_in_their_unit():
    """For metrics and predictions."""
    task = EnsembleRegression(nn.Identity(), functional.mse_loss, data_spec=SPEC)
    outputs = SCORES[..., :2]
    unit = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    expected = outputs.mean(1) * unit[1] + unit[0]
    torch.testing.assert_close(task.predicted(outputs), expected)
    torch.testing.assert_close(task.measured(outputs, outputs[:, 0])[0], expected)


def test_quantiles_are_the_members_mean():
    """Two targets, three quantiles each; they rise."""
    quantiles = (0.1, 0.5, 0.9)
    task = EnsembleRegression(
        nn.Identity(), functional.mse_loss, data_spec=SPEC, quantiles=quantiles
    )
    outputs = torch.randn(5, 3, 6)
    predicted = task.predicted(outputs)
    assert predicted.shape == (5, 2, 3)
    assert (predicted.diff(dim=-1) >= 0).all()
    besides = task.measured_besides(outputs, None)["predicted_quantiles"]
    torch.testing.assert_close(besides, predicted)


@pytest.mark.parametrize(
    ("task", "target"), [(EnsembleClassification, LABELS), (EnsembleRegression, torch.zeros(6, 4))]
)
def test_a_network_without_members_is_refused(task, target):
    """With both ways out."""
    made = task(nn.Identity(), functional.mse_loss)
    with pytest.raises(ConfigError, match="has no members") as caught:
        made.check_output(SCORES[:, 0], (SCORES[:, 0], target))
    assert "architecture: tabm" in caught.value.fix
    made.check_output(SCORES, (SCORES, target))


def test_a_label_out_of_range_is_named():
    """As the base class does it."""
    task = EnsembleClassification(nn.Identity(), functional.cross_entropy)
    with pytest.raises(Exception, match="label 9 for an architecture of 4 scores"):
        task.check_output(SCORES, (SCORES, LABELS + 9 * (LABELS == 0)))
