"""Trial: short trainings that leave no trace."""

import torch
from torch import nn

from dlplug.callbacks.implicit.random_state import capture
from dlplug.diagnostics.trial import Trial, first_of, size_of, untouched
from dlplug.run.quiet import quiet


def test_weights_and_random_states_are_as_before(experiment, tmp_path):
    """After steps that changed both; and no file is left."""
    with quiet():
        trial = Trial(experiment())
        before = {name: t.clone() for name, t in trial.task.state_dict().items()}
        state = capture()
        with untouched(trial.task):
            trial.fit(trial.trainer(3))
            assert not torch.equal(
                next(iter(before.values())), trial.task.architecture.layers[1].weight
            )
    assert all(torch.equal(t, before[name]) for name, t in trial.task.state_dict().items())
    assert torch.equal(capture()["torch"], state["torch"])
    assert list(tmp_path.iterdir()) == []


def test_the_schedule_is_left_out(experiment):
    """The rate is the config's, not that of the warm-up."""
    with quiet():
        trial = Trial(experiment())
        trainer = trial.trainer(2)
        trial.fit(trainer)
    assert {group["lr"] for group in trainer.optimizers[0].param_groups} == {0.01}


def test_its_own_end_counts(experiment):
    """Whatever ends an epoch or the training of the config: no batch of 40 is left there."""
    limits = (("trainer.limit_train_batches", "0.01"), ("trainer.max_epochs", "0"))
    with quiet():
        trial = Trial(experiment(*limits))
        trainer = trial.trainer(3)
        trial.fit(trainer)
    assert trainer.global_step == 3 and trainer.num_training_batches == 40


def test_a_batch_can_be_cut():
    """In tensors, tuples and mappings."""
    batch = ({"a": torch.zeros(5, 2), "b": (torch.zeros(5),)}, torch.zeros(5))
    inputs, targets = first_of(batch, 2)
    assert (len(inputs["a"]), len(inputs["b"][0]), len(targets)) == (2, 2, 2)
    assert size_of(batch) == 5


def test_modes_are_put_back():
    """Of each module by itself."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model[1].eval()
    with untouched(model):
        model.eval()
    assert model.training and model[0].training and not model[1].training
