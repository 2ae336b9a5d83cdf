"""MetricState: what is measured over an epoch survives an interruption within it."""

import lightning
import pytest
import torch
from lightning.pytorch.loggers import Logger
from torch.nn import functional as F

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.implicit.metric_state import KEY, MetricState

WITHIN, END = 8, 10  # steps; an epoch has 5


class Interrupt(lightning.Callback):
    """Fail after one step, when the checkpoint of the step is written."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == WITHIN:
            raise RuntimeError("interrupted")


class Plain(lightning.LightningModule):
    """Logs numbers, which Lightning sums up, in each of its ways and in some of the batches."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.cross_entropy(self.inner(images), labels)
        self.log("mean", loss, on_epoch=True, on_step=False)
        self.log("sum", loss, on_epoch=True, on_step=False, reduce_fx="sum")
        self.log("largest", loss, on_epoch=True, on_step=False, reduce_fx="max")
        self.log("smallest", loss, on_epoch=True, on_step=False, reduce_fx="min")
        if batch_idx != 3:
            self.log("sometimes", loss, on_epoch=True, on_step=True)
        return loss

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Rows(Logger):
    """Keeps what is logged, and under which step."""

    name, version = "rows", "0"

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def log_hyperparams(self, *args, **kwargs):
        pass


def checkpointing(tmp_path):
    keep = Checkpoint(monitor="epoch", mode="max", every_n_steps=WITHIN)
    keep.dirpath = str(tmp_path)
    return keep


def epochs(rows):
    """The rows of whole epochs, by step."""
    keys = ("train_loss", "train_accuracy", "mean", "sum", "largest", "smallest")
    found = {}
    for step, metrics in rows:
        values = {k: v for k, v in metrics.items() if k in keys or k.endswith("_epoch")}
        if values:
            found[step] = values
    return found


@pytest.mark.parametrize("kind", ["metrics", "numbers"])
def test_a_resumed_epoch_is_measured_whole(tmp_path, task, fit, kind):
    """Bit by bit, whether the task logs metrics or numbers; Lightning forgets the first part."""

    def module():
        return task() if kind == "metrics" else Plain(task())

    whole, resumed = Rows(), Rows()
    arguments = {"log_every_n_steps": 1, "limit_val_batches": 0, "max_epochs": 3}
    fit(module(), MetricState(), checkpointing(tmp_path / "a"), logger=whole, **arguments)
    with pytest.raises(RuntimeError, match="interrupted"):
        parts = (MetricState(), Interrupt(), checkpointing(tmp_path / "b"))
        fit(module(), *parts, **arguments)
    path = tmp_path / "b" / "last.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == WITHIN
    parts = (MetricState(), checkpointing(tmp_path / "b"))
    fit(module(), *parts, ckpt_path=path, logger=resumed, **arguments)
    expected, found = epochs(whole.rows), epochs(resumed.rows)
    assert len(found) == 2 and found == {step: expected[step] for step in found}


def test_a_checkpoint_holds_the_row_that_is_still_to_come(tmp_path, task, fit):
    """Lightning logs after it has saved, within an epoch and at its end."""
    rows = Rows()
    keep = checkpointing(tmp_path)
    arguments = {"log_every_n_steps": 1, "limit_val_batches": 0, "logger": rows}
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(Plain(task()), MetricState(), Interrupt(), keep, **arguments)
    within = torch.load(tmp_path / "last.ckpt", weights_only=True)[KEY]["row"]
    fit(Plain(task()), MetricState(), keep, **arguments)
    end = torch.load(tmp_path / "last.ckpt", weights_only=True)[KEY]["row"]
    for row, step in ((within, WITHIN), (end, END)):
        assert row.pop("step") == step and row.pop("epoch") == 1
        row = {name: float(value) for name, value in row.items()}
        # Lightning counts the steps before this one.
        assert (step - 1, row | {"epoch": 1}) in rows.rows


def test_an_epoch_that_is_over_leaves_nothing(tmp_path, task, fit):
    """The next one begins at zero."""
    fit(task(), MetricState(), checkpointing(tmp_path), limit_val_batches=0)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)[KEY]
    assert content["ranks"] == [{"metrics": {}, "sums": {}}]


def test_a_validation_is_measured_by_itself(tmp_path, task, fit):
    """A checkpoint that follows a validation within the epoch has none of its numbers."""
    arguments = {"val_check_interval": 3, "limit_val_batches": 2}
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(task(), MetricState(), Interrupt(), checkpointing(tmp_path), **arguments)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["global_step"] == WITHIN
    assert content["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]["ready"] == 2
    metrics = content[KEY]["ranks"][0]["metrics"]
    assert {name.split(".")[1] for name in metrics} == {"train_"}


def test_a_checkpoint_without_metrics_loads(tmp_path, task, fit):
    """One from before there were any, or from Lightning alone."""
    fit(task(), checkpointing(tmp_path), limit_val_batches=0)
    path = tmp_path / "last.ckpt"
    assert KEY not in torch.load(path, weights_only=True)
    trainer = fit(task(), MetricState(), ckpt_path=path, max_epochs=3, limit_val_batches=0)
    assert trainer.current_epoch == 3
