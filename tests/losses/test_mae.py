"""Mean absolute error against its formula."""

import torch

from dlplug.losses.mae import MAELoss


def test_it_equals_the_formula():
    """Mean of distances, in both directions."""
    output, target = torch.tensor([[1.0], [5.0]]), torch.tensor([[3.0], [4.0]])
    assert float(MAELoss()(output, target)) == 1.5
