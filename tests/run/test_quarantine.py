"""A bad record that nobody meets before the test: listed, or told with what is left."""

import json

import pytest

from dlplug import config
from dlplug.data.quarantine import FILE
from dlplug.errors import DataError
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests.chaos.corrupt_records import write_images

CONFIG = """
seed_everything: 3
name: late
architecture: {name: mlp, hidden: [8]}
optimizer: {name: adamw, lr: 0.003}
data: {name: image_folder, path: %s, image_size: 8, greyscale: true, quarantine: 0.1}
trainer: {max_epochs: 1, limit_train_batches: 1, accelerator: cpu}
"""


@pytest.fixture
def bad(tmp_path):
    """Name of a test image, which is damaged."""
    (tmp_path / "late.yaml").write_text(CONFIG % write_images(tmp_path / "images"))
    experiment = config.load([tmp_path / "late.yaml"], [])
    experiment.datamodule.setup("test")
    name = experiment.datamodule.split("test").names[0]
    (tmp_path / "images" / name).write_bytes(b"")
    return name


def fit(tmp_path, *overrides):
    experiment = config.load([tmp_path / "late.yaml"], list(overrides))
    return verbs.fit(experiment, root=tmp_path / "runs", progress=False)


def test_a_training_whose_test_fails_says_what_is_left(tmp_path, bad, capsys):
    """The weights are there, and the test alone can be repeated."""
    with pytest.raises(DataError, match=bad):
        fit(tmp_path, ("data.quarantine", "0"))
    run = Run(tmp_path / "runs" / "late" / "1")
    assert (
        f"repeat the test alone: python -m dlplug test --run {run.path}" in capsys.readouterr().err
    )
    assert run.best.is_file() and run.status["status"] == "failed"


def test_a_bad_test_record_is_listed(tmp_path, bad):
    """Nothing was bad when the run folder was opened."""
    result = fit(tmp_path)
    assert result.quarantined == 1
    (row,) = map(json.loads, (result.run / FILE).read_text().splitlines())
    assert row["split"] == "test" and bad in row["reason"]
