"""Targets that are a mixture of two."""

import torch

from dlplug.losses.cross_entropy import cross_entropy
from dlplug.tasks.classification import Classification
from dlplug.transforms.mixed import Mixed


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses():
    """It equals the loss of mixed class probabilities, which cross-entropy can take too."""
    task = Classification(torch.nn.Identity(), cross_entropy)
    scores, first, second = (
        torch.randn(4, 3),
        torch.tensor([0, 1, 2, 0]),
        torch.tensor([1, 1, 0, 2]),
    )
    eye = torch.eye(3)
    soft = -(scores.log_softmax(1) * (0.3 * eye[first] + 0.7 * eye[second])).sum(1).mean()
    torch.testing.assert_close(task.loss_of(scores, Mixed(first, second, 0.3)), soft)


def test_metrics_compare_with_the_larger_share():
    """The first at 0.5 or more, else the second."""
    first, second = torch.zeros(1), torch.ones(1)
    assert Mixed(first, second, 0.6).main is first and Mixed(first, second, 0.4).main is second
