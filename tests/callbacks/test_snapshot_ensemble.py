"""snapshot_ensemble: a checkpoint at the end of each cycle, in the run folder."""

import pytest
import torch

from dlplug import config
from dlplug.errors import InvalidValueError
from dlplug.run import verbs
from dlplug.run.folder import Run

CONFIG = """
architecture: {name: mlp, hidden: [16]}
data: digits
scheduler: {name: cosine_cycles, cycles: 3}
callbacks: [snapshot_ensemble]
trainer: {max_epochs: 4, limit_train_batches: 5, limit_val_batches: 2, accelerator: cpu}
"""


@pytest.fixture
def fit(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)

    def run(*overrides, **arguments):
        experiment = config.load([path], list(overrides))
        return Run(verbs.fit(experiment, root=tmp_path, name="x", progress=False, **arguments).run)

    return run


def snapshots(run):
    paths = sorted(run.checkpoints.glob("snapshot-*.ckpt"))
    return {path.stem[-1]: torch.load(path, weights_only=True) for path in paths}


def test_each_cycle_leaves_a_checkpoint(fit, tmp_path):
    """20 steps in cycles of 7, 7 and 6, within epochs of 5; predictions can be averaged."""
    run = fit()
    found = snapshots(run)
    assert {n: content["global_step"] for n, content in found.items()} == {"1": 7, "2": 14, "3": 20}
    last = torch.load(run.last, weights_only=True)
    torch.testing.assert_close(found["3"]["state_dict"], last["state_dict"], rtol=0, atol=0)
    paths = [run.checkpoints / f"snapshot-{n}.ckpt" for n in "123"]
    result = verbs.predict(config.load([run.resolved]), run=run, ckpt_path=paths, progress=False)
    assert result.predictions.is_file()


def test_a_resumed_training_goes_on_counting(fit):
    """From a snapshot in the second cycle: the third snapshot has its number and weights."""
    run = fit()
    whole = snapshots(run)
    (run.checkpoints / "snapshot-3.ckpt").unlink()
    again = fit(ckpt_path=run.checkpoints / "snapshot-2.ckpt")
    found = snapshots(again)
    assert list(found) == ["3"]
    torch.testing.assert_close(found["3"]["state_dict"], whole["3"]["state_dict"], rtol=0, atol=0)


@pytest.mark.parametrize("scheduler", ["warmup_cosine", "step", "null"])
def test_a_rate_without_cycles_is_refused(fit, tmp_path, scheduler):
    """The message says so, before anything is written."""
    with pytest.raises(InvalidValueError, match="the learning rate has no cycles"):
        fit(("scheduler", scheduler))
    assert not (tmp_path / "x").exists()


def test_a_training_without_checkpoints_is_refused(fit, tmp_path):
    """There would be no snapshots, without a word."""
    with pytest.raises(InvalidValueError, match="enable_checkpointing is false"):
        fit(("trainer.enable_checkpointing", "false"))
    assert not (tmp_path / "x").exists()
