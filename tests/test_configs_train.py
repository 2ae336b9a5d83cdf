"""Every experiment in configs/ trains: a few steps, the best weights tested, everything finite."""

import math
from pathlib import Path

import pytest

from dlplug import config
from dlplug.config.usage import config_files
from dlplug.loggers.metrics_file import read_metrics
from dlplug.plugin import Registry
from dlplug.run import verbs
from dlplug.run.folder import Run

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
STARTS_FROM = {
    file.path.stem: file.starts_from for file in config_files(ROOT / "configs", Registry.discover())
}
FEW_STEPS = [
    ("trainer.max_epochs", "1"),
    ("trainer.limit_train_batches", "2"),
    ("trainer.limit_val_batches", "1"),
    ("trainer.limit_test_batches", "1"),
]


def fit(path):
    return verbs.fit(config.load([path], FEW_STEPS), progress=False)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains(path, tmp_path, monkeypatch):
    """From a folder that is not the checkout, as anybody's; after the run that it starts from."""
    monkeypatch.chdir(tmp_path)
    if STARTS_FROM[path.stem]:
        fit(path.with_stem(STARTS_FROM[path.stem]))
    result = fit(path)
    run = Run(result.run)
    assert run.status["status"] == "finished" and run.best.is_file() and result.tests == 1
    losses = [row["train_loss"] for row in read_metrics(run.metrics) if "train_loss" in row]
    assert losses and all(map(math.isfinite, losses))
    assert math.isfinite(result.metrics["test_loss"])
