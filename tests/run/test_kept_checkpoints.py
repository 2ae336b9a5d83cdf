"""Checkpoints of every released version load for ever: tested, and trained on."""

import json
import shutil
from pathlib import Path

import pytest

from dlplug import config
from dlplug.run import verbs
from dlplug.run.folder import Run

KEPT = sorted(p for p in (Path(__file__).parent / "kept").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_it_gives_the_metrics_that_it_gave(folder):
    """Loss and accuracy on the test split, as recorded by the version that wrote it."""
    experiment = config.load([folder / "resolved.yaml"])
    result = verbs.test(experiment, ckpt_path=folder / "last.ckpt", progress=False)
    expected = json.loads((folder / "expected.json").read_text())
    # Another processor adds in another order.
    assert result.metrics == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_a_training_goes_on_from_it(folder, tmp_path):
    """Weights, optimizer, schedule, averages and the place in the data are taken up."""
    copy = shutil.copytree if (folder / "last.ckpt").is_dir() else shutil.copy
    copy(folder / "last.ckpt", tmp_path / "last.ckpt")
    experiment = config.load([folder / "resolved.yaml"], [("trainer.max_epochs", "4")])
    result = verbs.fit(
        experiment, ckpt_path=tmp_path / "last.ckpt", root=tmp_path / "runs", progress=False
    )
    assert result.epochs == 4 and Run(result.run).status["status"] == "finished"


def test_something_is_kept():
    """The tests above have something to load."""
    assert KEPT
