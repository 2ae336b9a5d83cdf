"""Perplexity: over batches as over all at once."""

import math

import torch

from dlplug.metrics.perplexity import Perplexity


def test_a_uniform_model_is_as_unsure_as_it_has_tokens():
    """Perplexity C for equal scores."""
    metric = Perplexity()
    metric.update(torch.zeros(7, 10), torch.arange(7))
    assert math.isclose(float(metric.compute()), 10.0, rel_tol=1e-6)


def test_batches_count_by_their_tokens():
    """Unequal batches, of sequences and of rows; -100 does not count."""
    torch.manual_seed(0)
    scores, target = torch.randn(4, 6, 5), torch.randint(0, 5, (4, 6))
    target[0, 2:] = -100
    metric = Perplexity()
    metric.update(scores[:1], target[:1])
    metric.update(scores[1:].flatten(0, 1), target[1:].flatten())
    rows = scores.log_softmax(-1).gather(-1, target.clamp(min=0)[..., None])[..., 0]
    expected = (-rows[target >= 0].mean()).exp()
    torch.testing.assert_close(metric.compute(), expected)


def test_what_is_not_a_number_shows():
    """No tokens with a target, or NaN in a score."""
    for scores, token in ((torch.zeros(1, 3), -100), (torch.full((1, 3), torch.nan), 1)):
        metric = Perplexity()
        metric.update(scores, torch.tensor([token]))
        assert metric.compute().isnan()
