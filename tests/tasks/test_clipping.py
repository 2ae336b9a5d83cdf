"""Clipping by norm within the optimizer's step, as a config asks for it."""

import lightning
import pytest
import torch

from dlplug import config
from dlplug.errors import InvalidValueError
from dlplug.optim import FusedAdamW
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.tasks.task import Task

CONFIG = """
seed_everything: 0
name: tiny
architecture: {name: mlp, hidden: [16]}
optimizer: {name: adamw, lr: 0.01, eps: 0.01}
data: {name: digits, batch_size: 32}
trainer: {max_epochs: 1, limit_train_batches: 6, accelerator: cpu, gradient_clip_val: 0.05}
"""


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Train; gives the last checkpoint, and the limit and the norm that each step had."""

    def run(name, *overrides):
        limits = []
        step = FusedAdamW.step

        def noting(self, closure=None):
            result = step(self, closure)
            grads = [p.grad for group in self.param_groups for p in group["params"]]
            limits.append((self.max_grad_norm, torch.nn.utils.get_total_norm(grads)))
            return result

        (tmp_path / "tiny.yaml").write_text(CONFIG)
        with monkeypatch.context() as patch:
            patch.setattr(FusedAdamW, "step", noting)
            experiment = config.load([tmp_path / "tiny.yaml"], list(overrides))
            result = verbs.fit(experiment, root=tmp_path / name, progress=False)
        return torch.load(Run(result.run).last, weights_only=True), limits

    return run


def test_the_step_clips_as_lightning_does(fit, monkeypatch, caplog):
    """The same weights within rounding as when Lightning clips, and the limit was reached."""
    with caplog.at_level("INFO", "dlplug.tasks"):
        ours, limits = fit("ours")
    assert caplog.messages == ["gradient_clip_val: the optimizer's step clips"]
    assert len(limits) == 6 and all(limit == 0.05 and norm > limit for limit, norm in limits)
    own = lightning.LightningModule.configure_gradient_clipping
    monkeypatch.setattr(Task, "configure_gradient_clipping", own)
    theirs, limits = fit("theirs")
    assert all(limit is None for limit, _ in limits)
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=1e-5, atol=1e-6)


def test_clipping_by_value_is_lightning_s(fit):
    """It is another rule."""
    _, limits = fit("value", ("trainer.gradient_clip_algorithm", "value"))
    assert all(limit is None for limit, _ in limits)


def test_two_limits_are_refused(fit):
    """The optimizer's own would be overwritten."""
    with pytest.raises(InvalidValueError, match=r"clipped twice.* = 0.05, optimizer.max_grad_norm"):
        fit("twice", ("optimizer.max_grad_norm", "1.0"))
