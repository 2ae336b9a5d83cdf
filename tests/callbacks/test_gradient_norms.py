"""GradientNorms: the logged numbers are the gradients' norms."""

import lightning
import pytest
import torch

from dlplug.callbacks.gradient_norms import GradientNorms
from dlplug.errors import InvalidValueError
from dlplug.loggers.metrics_file import MetricsFile, read_metrics


class Keep(lightning.Callback):
    """The true norm of each step's gradient."""

    def __init__(self):
        self.norms = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        flat = torch.cat([p.grad.flatten() for p in pl_module.parameters()])
        self.norms.append(float(flat.norm()))


def test_norms_are_logged_every_few_steps(task, fit, tmp_path):
    """Of everything and of each block, with the number of the step, before clipping."""
    keep, path = Keep(), tmp_path / "metrics.jsonl"
    fit(
        task(),
        GradientNorms(every_n_steps=4),
        keep,
        logger=MetricsFile(path),
        gradient_clip_val=0.1,
    )
    rows = [row for row in read_metrics(path) if "gradient_norm" in row]
    assert [row["step"] for row in rows] == [1, 5, 9]
    for row, step in zip(rows, (0, 4, 8), strict=True):
        assert row["gradient_norm"] == pytest.approx(keep.norms[step], rel=1e-5)
        blocks = [v for name, v in row.items() if name.startswith("gradient_norm/")]
        assert sum(v * v for v in blocks) ** 0.5 == pytest.approx(row["gradient_norm"], rel=1e-5)
    assert {"gradient_norm/layers.1", "gradient_norm/layers.4"} <= set(rows[0])


def test_blocks_can_be_left_out(task, fit, tmp_path):
    """Then there is one number."""
    path = tmp_path / "metrics.jsonl"
    fit(task(), GradientNorms(1, per_block=False), logger=MetricsFile(path), max_epochs=1)
    row = next(row for row in read_metrics(path) if "gradient_norm" in row)
    assert not any("/" in name for name in row)


def test_a_value_out_of_range_is_refused():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match="gradient_norms: every_n_steps = 0 is below 1"):
        GradientNorms(every_n_steps=0)
