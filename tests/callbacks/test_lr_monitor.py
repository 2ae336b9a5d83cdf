"""LRMonitor: the learning rates of the coming step."""

import pytest

from dlplug.callbacks.lr_monitor import LRMonitor
from dlplug.loggers.metrics_file import MetricsFile, read_metrics


def test_equal_rates_are_one_value(task, fit, tmp_path):
    """Every log_every_n_steps batches, under the name lr."""
    logger = MetricsFile(tmp_path / "m.jsonl")
    fit(task(), LRMonitor(), logger=logger, log_every_n_steps=2, limit_train_batches=4)
    rates = [row["lr"] for row in read_metrics(logger.path) if "lr" in row]
    assert rates == pytest.approx([0.01] * 4)


def test_different_rates_are_numbered(task, fit, tmp_path):
    """One for each parameter group."""
    module = task()
    optimizer = module.configure_optimizers()
    optimizer.param_groups[1]["lr"] = 0.5
    module.configure_optimizers = lambda: optimizer
    logger = MetricsFile(tmp_path / "m.jsonl")
    fit(module, LRMonitor(), logger=logger, log_every_n_steps=4, limit_train_batches=4)
    row = next(row for row in read_metrics(logger.path) if "lr_0" in row)
    assert (row["lr_0"], row["lr_1"]) == (pytest.approx(0.01), 0.5)
