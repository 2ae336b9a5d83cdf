"""OptimizerDtypes: states of every type survive a save and a load."""

import lightning
import pytest
import torch

from dlplug import config
from dlplug.run import verbs
from dlplug.run.folder import Run

CONFIG = """
seed_everything: 3
name: tiny
architecture: {name: mlp, hidden: [16], dropout: 0.2}
scheduler: {name: warmup_cosine, warmup: 0.1}
data: {name: digits, batch_size: 32}
trainer: {max_epochs: 2, limit_train_batches: 4, limit_val_batches: 1, accelerator: cpu}
"""
OPTIMIZERS = {
    "adamw": "{name: adamw, lr: 0.01}",
    "adamw by torch": "{name: adamw, lr: 0.01, foreach: true}",
    "compact_adamw": "{name: compact_adamw, lr: 0.01, storage: 8bit}",
    "adam": "{name: adam, lr: 0.01, amsgrad: true}",
    "sgd": "{name: sgd, lr: 0.1, momentum: 0.9}",
    "precise": "{class_path: tests.callbacks.implicit.test_optimizer_dtypes.Precise}",
}


class Precise(torch.optim.Optimizer):
    """Sums up gradients in float64 and counts steps in 8 bits, whatever its parameters are."""

    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["sum"] = torch.zeros_like(parameter, dtype=torch.float64)
                    state["count"] = torch.zeros(3, dtype=torch.uint8)
                state["count"] += 1
                state["sum"] = 0.9 * state["sum"] + parameter.grad.double()
                parameter -= (group["lr"] * state["sum"]).to(parameter.dtype)
        return loss


class Interrupt(lightning.Callback):
    """Fail when the second epoch begins."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise RuntimeError("interrupted")


@pytest.fixture
def fit(tmp_path):
    """Train with an optimizer; gives the run."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)

    def train(name, precision, *callbacks, root="runs", **arguments):
        overrides = [("optimizer", OPTIMIZERS[name]), ("trainer.precision", precision)]
        experiment = config.load([path], overrides, trust=["tests.callbacks"])
        build = experiment.build_callbacks
        experiment.build_callbacks = lambda: [*callbacks, *build()]
        return Run(verbs.fit(experiment, root=tmp_path / root, progress=False, **arguments).run)

    return train


def states(run):
    """States of each parameter in a run's last checkpoint."""
    return torch.load(run.last, weights_only=True)["optimizer_states"][0]["state"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_training_continues_with_the_same_bits(fit, name, precision):
    """Every state of every optimizer has type and value of a training in one go."""
    whole = fit(name, precision, root="whole")
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(name, precision, Interrupt())
    resumed = fit(name, precision, resume="auto")
    assert resumed.status["resumed"] == 1
    assert states(resumed).keys() == states(whole).keys() != set()
    torch.testing.assert_close(states(resumed), states(whole), rtol=0, atol=0)


def test_states_follow_parameters_of_another_type(fit):
    """A training that goes on in another precision casts them, as torch does."""
    with pytest.raises(RuntimeError, match="interrupted"):
        fit("adam", "32-true", Interrupt())
    resumed = fit("adam", "bf16-true", resume="auto")
    dtypes = {state["exp_avg"].dtype for state in states(resumed).values()}
    assert dtypes == {torch.bfloat16}
