"""Small experiments on the digits, a second or less each."""

import pytest

from dlplug import config


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    """A config that trains a small network on the digits for two epochs of eight batches."""
    path = tmp_path_factory.mktemp("configs") / "digits.yaml"
    path.write_text(
        "seed_everything: 3\n"
        "name: tiny\n"
        "architecture: {name: mlp, hidden: [16], dropout: 0.2}\n"
        "optimizer: {name: adamw, lr: 0.003}\n"
        "scheduler: {name: warmup_cosine, warmup: 0.1}\n"
        "data: {name: digits, batch_size: 32}\n"
        "trainer: {max_epochs: 2, limit_train_batches: 8, limit_val_batches: 2, accelerator: cpu}\n"
    )
    return path


@pytest.fixture
def experiment(digits_file):
    """Make an experiment: ``experiment(("trainer.max_epochs", "3"), ...)``."""

    def make(*overrides, files=(digits_file,), **arguments):
        return config.load(list(files), list(overrides), **arguments)

    return make
