"""Small experiments on the digits."""

import pytest
from torch import nn

from dlplug import config

BASE = (
    ("seed_everything", "3"),
    ("name", "tiny"),
    ("architecture", "{name: mlp, hidden: [16], dropout: 0.2}"),
    ("optimizer", "{name: adamw, lr: 0.01}"),
    ("scheduler", "{name: warmup_cosine, warmup: 0.1}"),
    ("data", "{name: digits, batch_size: 32}"),
    ("trainer", "{max_epochs: 1, accelerator: cpu}"),
)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Make an experiment: ``experiment(("trainer.max_epochs", "3"), ...)``, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def make(*overrides):
        return config.load([], [*BASE, *overrides])

    return make


@pytest.fixture
def with_model(experiment, monkeypatch):
    """Make an experiment whose architecture is replaced: ``with_model(module, ...)``."""

    def make(model: nn.Module, *overrides):
        made = experiment(*overrides)
        bound = made.parts["architecture"]
        monkeypatch.setattr(type(bound), "build", _building(type(bound).build, bound, model))
        return made

    return make


def _building(original, bound, model):
    def build(self, **arguments):
        return model if self is bound else original(self, **arguments)

    return build
