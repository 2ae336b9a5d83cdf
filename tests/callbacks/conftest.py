"""A small training through Lightning alone, for callbacks."""

import functools
from pathlib import Path

import lightning
import pytest
from torch import nn

from dlplug.architectures.mlp import MLP
from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.metrics.accuracy import Accuracy
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification


@pytest.fixture
def task():
    """A task on the digits; its weights follow from the seed."""
    return make_task


@pytest.fixture
def fit(tmp_path):
    """Train a task with callbacks; gives the trainer. A training loads what ``ckpt_path`` says."""
    return functools.partial(train, tmp_path)


def make_task(architecture: nn.Module | None = None) -> Classification:
    """For the fixture ``task``, and for other processes."""
    lightning.seed_everything(0, verbose=False)
    model = architecture or MLP(num_outputs=10, num_features=64, hidden=[16])
    return Classification(
        model,
        CrossEntropyLoss(),
        functools.partial(FusedAdamW, lr=0.01),
        metrics={"accuracy": Accuracy(10)},
        data_spec=DataSpec(num_classes=10),
    )


def train(
    root: Path, module: nn.Module, *callbacks, ckpt_path=None, data=None, **arguments
) -> lightning.Trainer:
    """For the fixture ``fit``, and for other processes; the digits unless there is other data."""
    chosen = {
        "max_epochs": 2,
        "limit_train_batches": 5,
        "limit_val_batches": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": root,
        "enable_checkpointing": any(
            isinstance(c, lightning.pytorch.callbacks.Checkpoint) for c in callbacks
        ),
    }
    with quiet():
        trainer = lightning.Trainer(callbacks=list(callbacks), **(chosen | arguments))
        trainer.fit(
            module,
            datamodule=data or Digits(),
            ckpt_path=ckpt_path,
            weights_only=True if ckpt_path else None,
        )
    return trainer


def load_and_test(trainer: lightning.Trainer, module: nn.Module, path: str) -> None:
    """Load a checkpoint for the test."""
    with quiet():
        trainer.test(module, datamodule=Digits(), ckpt_path=path, weights_only=True, verbose=False)
