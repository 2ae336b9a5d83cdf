"""FiniteLoss: a training that went wrong ends as an error and keeps its last good checkpoint."""

import lightning
import pytest
import torch

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.finite_loss import FiniteLoss
from dlplug.errors import RunError


class Spoil(lightning.Callback):
    """One NaN in one record of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 3:
            batch[0][5, 0, 0, 0] = float("nan")


def test_one_bad_record_does_not_end_in_a_finished_run(task, fit):
    """The epoch is named, and last.ckpt is the one of the epoch before."""
    keep = Checkpoint()
    with pytest.raises(RunError, match="training loss is nan in epoch 2") as error:
        fit(task(), Spoil(), FiniteLoss(), keep, max_epochs=3)
    assert "optimizer.lr" in str(error.value)
    content = torch.load(keep.last_model_path, weights_only=True)
    assert content["epoch"] == 0
    assert all(w.isfinite().all() for w in content["state_dict"].values())


def test_a_task_without_that_loss_is_let_through():
    """Nothing to look at."""

    class Trainer:
        callback_metrics = {}  # noqa: RUF012

    FiniteLoss().on_train_epoch_end(Trainer(), None)
