"""Decay groups, schedules, the end of a training."""

import functools

import lightning
import pytest
import torch
from torch import nn

from dlplug.errors import ConfigError, InvalidValueError
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.schedulers.step import step
from dlplug.schedulers.warmup_cosine import warmup_cosine
from dlplug.tasks.optimization import total_steps
from dlplug.tasks.task import Task


class Toy(Task):
    """Learns nothing from ten records."""

    def training_step(self, batch, batch_idx):
        return self.loss(self.architecture(batch[0]), batch[0])

    def train_dataloader(self):
        data = torch.utils.data.TensorDataset(torch.ones(10, 4))
        return torch.utils.data.DataLoader(data, batch_size=2)

    def val_dataloader(self):
        return []


def task(optimizer=torch.optim.SGD, scheduler=None, architecture=None):
    architecture = architecture or nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    return Toy(architecture, nn.functional.mse_loss, optimizer, scheduler)


def trained(module, **arguments):
    """Fit on the CPU; returns the trainer."""
    chosen = {"max_epochs": 2, "accelerator": "cpu"} | arguments
    with quiet():
        trainer = lightning.Trainer(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **chosen,
        )
        trainer.fit(module)
    return trainer


def test_norms_and_biases_are_not_decayed():
    """An optimizer with a weight decay gets two groups, the second without decay."""
    optimizer = task(functools.partial(FusedAdamW, weight_decay=0.3)).configure_optimizers()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert [[p.ndim for p in group["params"]] for group in optimizer.param_groups] == [
        [2],
        [1, 1, 1],
    ]


def test_the_optimizers_own_default_decay_counts():
    """A decay that the config leaves out is the optimizer's."""
    optimizer = task(FusedAdamW).configure_optimizers()
    assert (
        optimizer.param_groups[0]["weight_decay"]
        == FusedAdamW([nn.Parameter()]).defaults["weight_decay"]
    )


def test_an_optimizer_without_decay_gets_plain_parameters():
    """One group with everything."""

    def plain(params, lr=0.1):
        return torch.optim.Rprop(params, lr)

    optimizer = task(plain).configure_optimizers()
    assert len(optimizer.param_groups) == 1 and len(optimizer.param_groups[0]["params"]) == 4


def test_parameters_of_the_loss_are_trained_too():
    """A loss that learns something of its own."""
    module = task()
    module.loss = nn.Linear(4, 1)
    optimizer = module.configure_optimizers()
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


def test_a_schedule_with_total_steps_is_stepped_per_step():
    """It gets the number of optimizer steps of the whole training, and ends at its last one."""
    trainer = trained(task(scheduler=functools.partial(warmup_cosine, warmup=0)))
    (config,) = trainer.lr_scheduler_configs
    assert config.interval == "step"
    assert config.scheduler.last_epoch == 10
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_a_schedule_without_total_steps_is_stepped_per_epoch():
    """Two epochs are two steps of the schedule."""
    trainer = trained(task(scheduler=functools.partial(step, step_size=1)))
    (config,) = trainer.lr_scheduler_configs
    assert config.interval == "epoch" and config.scheduler.last_epoch == 2


def test_given_total_steps_are_kept():
    """A config that says total_steps itself is obeyed."""
    module = task(scheduler=functools.partial(warmup_cosine, total_steps=99, warmup=99))
    trainer = trained(module)
    expected = 1e-3 * 11 / 99
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(expected)


def test_plateau_schedules_watch_the_validation_loss():
    """torch's own ReduceLROnPlateau needs to be told what to watch."""
    found = task(scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau).configure_optimizers()
    assert found["lr_scheduler"]["monitor"] == "val_loss"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 10),
        ({"accumulate_grad_batches": 2}, 6),
        ({"max_steps": 7}, 7),
        ({"limit_train_batches": 3}, 6),
    ],
)
def test_total_steps_count_optimizer_steps(arguments, expected):
    """Five batches in two epochs, accumulated, cut short, or limited."""
    counted = []

    class Counting(Toy):
        def configure_optimizers(self):
            counted.append(total_steps(self.trainer))
            return super().configure_optimizers()

    trainer = trained(
        Counting(nn.Linear(4, 4), nn.functional.mse_loss, torch.optim.SGD), **arguments
    )
    assert counted == [expected] and trainer.global_step == expected


def test_a_training_without_end_has_no_total_steps():
    """The message says what would give it one."""
    module = task(scheduler=warmup_cosine)
    with pytest.raises(InvalidValueError, match="has no end") as error:
        trained(module, max_epochs=-1)
    assert "trainer.max_epochs" in str(error.value)


def test_no_optimizer_is_an_error():
    """A task may be built for prediction without one, but not trained."""
    with pytest.raises(InvalidValueError, match="no optimizer is configured"):
        task(optimizer=None).configure_optimizers()


def test_a_model_without_parameters_is_told_where_they_belong():
    """Not what the optimizer says of an empty list; those of a loss are enough."""
    with pytest.raises(ConfigError, match="the model has no parameters to train") as error:
        task(architecture=nn.Flatten()).configure_optimizers()
    assert "nn.ModuleList" in error.value.fix
    learned = Toy(nn.Flatten(), nn.Linear(4, 1), torch.optim.SGD)
    assert learned.configure_optimizers().param_groups


class Limits(lightning.Callback):
    """Gives the trainer these limits step by step, and notes those of the optimizer."""

    def __init__(self, *limits):
        self.limits, self.seen = limits, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        trainer.gradient_clip_val, trainer.gradient_clip_algorithm = self.limits[batch_idx]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(trainer.optimizers[0].max_grad_norm)


def test_a_step_clips_as_long_as_the_trainer_does():
    """A callback may change the limit, the rule or both; an optimizer's own limit stays."""
    given = [(0.5, "norm"), (None, None), (0.25, "norm"), (0.25, "value"), (0, "norm")]
    module, limits = task(FusedAdamW), Limits(*given)
    trained(module, max_epochs=1, callbacks=[limits])
    assert limits.seen == [0.5, None, 0.25, None, None]
    limits = Limits(*[(0.5, "norm")] * 5)
    trained(module, max_epochs=1, callbacks=[limits])
    module.make_optimizer = functools.partial(FusedAdamW, max_grad_norm=0.1)
    own = Limits(*[(None, None)] * 5)
    trained(module, max_epochs=1, callbacks=[own])
    assert (limits.seen, own.seen) == ([0.5] * 5, [0.1] * 5)
