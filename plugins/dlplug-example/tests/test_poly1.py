"""The poly-1 loss against its definition."""

import pytest
import torch
from dlplug_example.poly1 import poly1_cross_entropy
from torch.nn import functional


@pytest.fixture
def batch():
    """Scores (6, 4) in float64 and classes (6,)."""
    torch.manual_seed(0)
    scores = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    return scores, torch.tensor([0, 1, 2, 3, 0, 1])


def test_without_the_extra_term_it_is_cross_entropy(batch):
    """epsilon = 0 changes nothing."""
    expected = functional.cross_entropy(*batch, label_smoothing=0.1)
    torch.testing.assert_close(poly1_cross_entropy(*batch, 0.0, 0.1), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_it_is_the_formula(batch, smoothing):
    """-sum(q log p) + epsilon sum(q (1 - p)) with the smoothed target q."""
    scores, target = batch
    q = functional.one_hot(target, 4) * (1 - smoothing) + smoothing / 4
    p = scores.softmax(-1)
    expected = (-(q * p.log()).sum(-1) + 2.0 * (q * (1 - p)).sum(-1)).mean()
    torch.testing.assert_close(poly1_cross_entropy(scores, target, 2.0, smoothing), expected)


def test_its_gradient_is_right(batch):
    """Checked against finite differences."""
    scores, target = batch
    assert torch.autograd.gradcheck(lambda s: poly1_cross_entropy(s, target, 1.5, 0.2), (scores,))


@pytest.mark.parametrize("arguments", [{"epsilon": -1.5}, {"label_smoothing": 1.5}])
def test_values_out_of_range_are_refused(batch, arguments):
    """The message holds the argument and its value."""
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        poly1_cross_entropy(*batch, **arguments)
