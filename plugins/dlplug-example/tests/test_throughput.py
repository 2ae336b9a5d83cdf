"""The throughput callback, with a clock that the test moves."""

from types import SimpleNamespace

import dlplug_example.throughput as module
import lightning
import pytest
import torch
from dlplug_example.throughput import Throughput, num_samples


@pytest.fixture
def clock(monkeypatch):
    """``clock.now`` is the time in seconds."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    return clock


def run_epoch(callback, clock, seconds, world_size=1):
    """One epoch of batches of 8 samples, each taking as long as told; what was logged."""
    logged = {}
    trainer = SimpleNamespace(is_last_batch=False, world_size=world_size)
    model = SimpleNamespace(
        device=torch.device("cpu"), log=lambda name, value, **_: logged.update({name: value})
    )
    callback.on_train_epoch_start(trainer, model)
    for index, duration in enumerate(seconds):
        clock.now += duration
        callback.on_train_batch_end(trainer, model, None, (torch.zeros(8, 2), None), index)
    clock.now += 1000
    callback.on_validation_end(trainer, model)
    callback.on_train_epoch_end(trainer, model)
    return logged


def test_the_warm_up_and_validation_are_left_out(clock):
    """Only batches after the warm-up count, once per run; validation never does."""
    callback = Throughput(warmup=2)
    assert run_epoch(callback, clock, [50, 50, 2, 2]) == {"samples_per_second": 16 / 4}
    assert run_epoch(callback, clock, [1, 1], world_size=2) == {"samples_per_second": 16.0}


def test_validation_within_an_epoch_is_left_out(clock):
    """The batch after a validation is measured from the validation's end."""
    callback = Throughput(warmup=1)
    run_epoch(callback, clock, [1])
    trainer = SimpleNamespace(is_last_batch=False, world_size=1)
    model = SimpleNamespace(device=torch.device("cpu"))
    callback.on_train_epoch_start(trainer, model)
    clock.now += 500
    callback.on_validation_end(trainer, model)
    clock.now += 2
    callback.on_train_batch_end(trainer, model, None, torch.zeros(8), 0)
    assert (callback._samples, callback._seconds) == (8, 2.0)


def test_an_epoch_of_warm_up_logs_nothing(clock):
    """There is no rate without a counted batch."""
    assert run_epoch(Throughput(warmup=3), clock, [1, 1]) == {}


def test_the_length_of_a_batch_is_found_in_any_form():
    """A tensor, a tuple, a mapping, or one in the other; scalars do not count."""
    batch = {"weight": torch.tensor(1.0), "text": "abc", "inputs": [torch.zeros(5, 2)]}
    assert num_samples(batch) == 5
    assert num_samples((batch, torch.zeros(3))) == 5
    with pytest.raises(ValueError, match="no tensor with an axis in a batch of type dict"):
        num_samples({"a": 1})


def test_a_warm_up_below_one_is_refused():
    """The first batch has no beginning to be measured from."""
    with pytest.raises(ValueError, match="warmup = 0"):
        Throughput(warmup=0)


class Regression(lightning.LightningModule):
    """The least that a Trainer needs."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    # Lightning 2.6 asks torch 2.13 in a way that torch deprecates.
    "ignore:.*LeafSpec:FutureWarning",
)
def test_a_trainer_logs_the_rate(tmp_path):
    """Under Lightning's own trainer a positive rate is among the logged metrics."""
    data = torch.utils.data.TensorDataset(torch.randn(40, 2))
    trainer = lightning.Trainer(
        max_epochs=1,
        callbacks=[Throughput()],
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Regression(), torch.utils.data.DataLoader(data, batch_size=8))
    assert trainer.logged_metrics["samples_per_second"] > 0
