"""WeightHistograms: file and picture hold the weights' distribution over the epochs."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from dlplug.callbacks.weight_histograms import FILE, PICTURE, WeightHistograms, summary
from dlplug.errors import InvalidValueError


def test_the_run_folder_gets_file_and_picture(task, fit, tmp_path):
    """The start and each epoch; the last row is of the weights as they are."""
    module = task()
    fit(module, WeightHistograms(bins=10))
    content = np.load(tmp_path / FILE)
    weight = module.architecture.layers[1].weight.detach()
    assert content["epochs"].tolist() == [0, 1, 2]
    assert content["layers.1.weight.counts"].shape == (3, 10)
    assert content["layers.1.weight.counts"].sum(axis=1).tolist() == [weight.numel()] * 3
    assert content["layers.1.weight.edges"].shape == (3, 11)
    expected = np.quantile(weight.numpy(), [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    np.testing.assert_allclose(content["layers.1.weight.quantiles"][-1], expected, atol=1e-6)
    assert imread(tmp_path / PICTURE).shape[1] > 1000


def test_a_resumed_training_has_it_all():
    """The state goes into checkpoints as plain data."""
    first, second = WeightHistograms(), WeightHistograms()
    first._look(0, torch.nn.Linear(2, 2))
    second.load_state_dict(first.state_dict())
    assert second.epochs == [0] and second.kept == first.kept
    assert set(second.kept) == {"weight", "bias"}


@pytest.mark.parametrize("weights", [torch.zeros(5), torch.full((3,), float("nan"))])
def test_odd_weights_have_a_summary(weights):
    """All the same, and none finite."""
    counts, edges, quantiles = summary(weights, 4)
    assert (len(counts), len(edges), len(quantiles)) == (4, 5, 7)
    assert sum(counts) == weights.isfinite().sum()


def test_a_value_out_of_range_is_refused():
    """The message holds it."""
    with pytest.raises(InvalidValueError, match="bins = 1"):
        WeightHistograms(bins=1)
