"""TokenAccuracy: positions without a target do not count."""

import torch

from dlplug.metrics.token_accuracy import TokenAccuracy


def test_only_positions_with_a_target_count():
    """Two of three right, in sequences and in rows."""
    scores = torch.eye(4)[None]
    metric = TokenAccuracy()
    metric.update(scores, torch.tensor([[0, 1, 0, -100]]))
    assert abs(float(metric.compute()) - 2 / 3) < 1e-6
    metric.update(scores[0], torch.tensor([0, 1, 2, 3]))
    assert abs(float(metric.compute()) - 6 / 7) < 1e-6
