"""The callbacks of a training: those that every run has, unless the config names them."""

import pytest

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.finite_steps import FiniteSteps
from dlplug.callbacks.implicit.termination import Termination
from dlplug.callbacks.pretrained import Pretrained
from dlplug.run.callbacks import run_callbacks
from dlplug.run.start import RunStart

OWN = (
    "RunStart RandomState MetricState OptimizerDtypes FiniteSteps Resumption Termination Checkpoint"
)


@pytest.fixture
def names(experiment):
    """Classes of the callbacks of a config, in their order."""

    def build(*overrides, checkpoint=None):
        start = RunStart("", {}, checkpoint, lambda: None, lambda run: None)
        found = run_callbacks(experiment(*overrides), start, Termination(), progress=False)
        return [type(callback).__name__ for callback in found]

    return build


def test_every_run_has_them(names):
    """The start comes first: nothing is written before."""
    assert names() == OWN.split()


def test_what_the_config_names_takes_its_place(names):
    """There is one of each."""
    found = names(("callbacks", "[{name: checkpoint, monitor: train_loss}, {name: finite_steps}]"))
    assert sorted(found) == sorted(OWN.split())
    assert found.index(Checkpoint.__name__) < found.index(FiniteSteps.__name__)


def test_a_trial_keeps_nothing(names):
    """It has no folder, so nobody opens one or writes into it."""
    assert not {"RunStart", "Checkpoint"} & set(names(("trainer.fast_dev_run", "true")))
    assert "Checkpoint" not in names(("trainer.enable_checkpointing", "false"))


def test_a_training_that_goes_on_loads_no_other_weights(names, tmp_path):
    """The file that it began with may be gone."""
    pretrained = ("callbacks", f"[{{name: pretrained, checkpoint: {tmp_path}/gone.ckpt}}]")
    assert Pretrained.__name__ in names(pretrained)
    assert Pretrained.__name__ not in names(pretrained, checkpoint=tmp_path / "last.ckpt")
