"""UpdateRatios: how far a step moves the weights."""

import lightning
import pytest
import torch

from dlplug.callbacks.update_ratios import UpdateRatios
from dlplug.errors import InvalidValueError
from dlplug.loggers.metrics_file import MetricsFile, read_metrics


class Weights(lightning.Callback):
    """The last layer before and after the first step."""

    def __init__(self):
        self.seen = []

    def _keep(self, pl_module):
        layer = pl_module.architecture.layers[4]
        self.seen.append(torch.cat([layer.weight.flatten(), layer.bias]).detach().clone())

    def on_train_start(self, trainer, pl_module):
        self._keep(pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._keep(pl_module)


def test_the_ratio_is_that_of_the_norms(task, fit, tmp_path):
    """Update over weights, for each block."""
    watch, path = Weights(), tmp_path / "metrics.jsonl"
    fit(task(), UpdateRatios(every_n_steps=3), watch, logger=MetricsFile(path))
    rows = [row for row in read_metrics(path) if "update_ratio/layers.4" in row]
    assert [row["step"] for row in rows] == [1, 4, 7, 10]
    before, after = watch.seen[:2]
    expected = float((after - before).norm() / after.norm())
    assert rows[0]["update_ratio/layers.4"] == pytest.approx(expected, rel=1e-4)


def test_what_stands_out_is_named_at_the_end(task, fit, capsys):
    """Blocks and their ratios, outside the range; nothing when all are within."""
    fit(task(), UpdateRatios(1, low=1e-9, high=1e-8), max_epochs=1)
    assert "update_ratios: above 1e-08 in step 5: layers.1 (" in capsys.readouterr().err
    fit(task(), UpdateRatios(1, low=1e-9, high=1e9), max_epochs=1)
    assert "update_ratios" not in capsys.readouterr().err


def test_values_out_of_range_are_refused():
    """The message holds them."""
    with pytest.raises(InvalidValueError, match="every_n_steps = -1"):
        UpdateRatios(every_n_steps=-1)
    with pytest.raises(InvalidValueError, match=r"low = 0\.1, high = 0\.01"):
        UpdateRatios(low=0.1)
