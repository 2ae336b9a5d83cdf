"""FiniteSteps: what is not finite never reaches the weights, and is named."""

import io
from contextlib import redirect_stderr

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.finite_steps import FiniteSteps
from dlplug.callbacks.numbers.non_finite import origin
from dlplug.errors import InvalidValueError, RunError
from dlplug.losses.cross_entropy import cross_entropy
from tests.callbacks.conftest import make_task, train
from tests.callbacks.two_processes import PAIR, in_two_processes


class Spoil(lightning.Callback):
    """Put a value into one record of some batches of the second epoch."""

    def __init__(self, batches=(3,), value=float("nan")):
        self.batches, self.value, self.times = batches, value, 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx in self.batches:
            batch[0][5, 0, 0, 0] = self.value
            self.times += 1


class Watch(lightning.Callback):
    """Every weight, buffer and state of the optimizer after each batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        state = trainer.optimizers[0].state_dict()["state"]
        moments = [v.clone() for s in state.values() for v in s.values() if v.ndim]
        tensors = pl_module.architecture.state_dict().values()
        self.seen.append([*(t.clone() for t in tensors), *moments])


def normed():
    """With statistics that a bad batch would spoil; the same weights every time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_batch_changes_nothing(task, fit, capsys, value):
    """Weights, statistics and optimizer are as before it; the record is named; training goes on."""
    spoil, watch, finite = Spoil(value=value), Watch(), FiniteSteps()
    trainer = fit(task(normed()), spoil, finite, watch)
    assert spoil.times == 1 and finite.skipped == 1
    assert all(bool(torch.isfinite(t).all()) for tensors in watch.seen for t in tensors)
    before, after = watch.seen[7], watch.seen[8]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(after, watch.seen[9], strict=True))
    kind = "NaN" if value != value else "infinity"
    text = f"epoch 2, batch 4: the step was left out: batch[0] holds {kind} in its record 5"
    assert text in capsys.readouterr().err
    logged = trainer.callback_metrics
    assert logged["skipped_steps"] == 1 and torch.isfinite(logged["train_loss"])


class Forbidding(nn.Module):
    """Gives a class that is forbidden the score -inf: its loss is infinite, no gradient is."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.forbidden = None

    def forward(self, x):
        scores = self.linear(x.flatten(1))
        if self.forbidden is None or not self.training:
            return scores
        return scores.masked_fill(torch.arange(10) == self.forbidden, -torch.inf)


class Forbid(lightning.Callback):
    """Forbid the class of the first record of a batch, in the second process."""

    def __init__(self):
        self.losses = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        is_bad = trainer.global_rank == 1 and trainer.current_epoch == 1 and batch_idx == 3
        pl_module.architecture.forbidden = int(batch[1][0]) if is_bad else None

    def on_before_backward(self, trainer, pl_module, loss):
        self.losses.append(float(loss.detach()))

    def on_after_backward(self, trainer, pl_module):
        assert all(bool(p.grad.isfinite().all()) for p in pl_module.parameters())


def train_with_a_forbidden_class(folder):
    """In one of two: weights and states after each batch, the losses, what is left out and said."""
    watch, finite, forbid = Watch(), FiniteSteps(), Forbid()
    with redirect_stderr(io.StringIO()) as told:
        train(folder, make_task(Forbidding()), forbid, finite, watch, **PAIR)
    said = told.getvalue()
    return {"seen": watch.seen, "losses": forbid.losses, "skipped": finite.skipped, "said": said}


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_process_counts_in_all(tmp_path):
    """Though every gradient is finite: both leave the step out, and stay equal; one says why.

    It names the process whose batch it was, which is not its own.
    """
    both = in_two_processes(train_with_a_forbidden_class, tmp_path)
    infinite = [[i for i, loss in enumerate(one["losses"]) if loss == torch.inf] for one in both]
    assert infinite == [[], [8]]
    place = "process 1 of 2, epoch 2, batch 4: the step was left out"
    assert f"{place}: the output of architecture holds infinity" in both[0]["said"]
    assert "left out" not in both[1]["said"]
    assert [one["skipped"] for one in both] == [1, 1]
    for one in both:
        assert all(torch.equal(a, b) for a, b in zip(one["seen"][7], one["seen"][8], strict=True))
    for first, second in zip(*(one["seen"] for one in both), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("bad", [(2,), (3,), (2, 3)])
def test_the_step_of_an_accumulation_is_left_out_whole(task, fit, capsys, bad):
    """Statistics are those from before its first batch; the first bad batch is named."""
    watch, finite = Watch(), FiniteSteps()
    fit(task(normed()), Spoil(batches=bad), finite, watch, accumulate_grad_batches=2)
    assert finite.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(watch.seen[6], watch.seen[8], strict=True))
    place = f"epoch 2, batch {bad[0] + 1}: the step was left out"
    assert f"{place}: batch[0] holds NaN in its record 5" in capsys.readouterr().err


class InfiniteGradient(lightning.Callback):
    """With finite losses."""

    def on_after_backward(self, trainer, pl_module):
        if trainer.current_epoch == 1 and trainer.fit_loop.batch_idx == 2:
            next(pl_module.parameters()).grad.fill_(torch.inf)


def test_of_an_accumulation_with_finite_losses_all_batches_are_named(task, fit, capsys):
    """Their gradients are one sum, which tells nothing of them."""
    fit(task(normed()), InfiniteGradient(), FiniteSteps(), accumulate_grad_batches=2)
    assert "epoch 2, batches 3 to 4: the step was left out" in capsys.readouterr().err


def test_too_many_in_a_row_end_the_training(task, fit):
    """With the good weights kept, and the last place named; a good step between starts anew."""
    keep, spoil = Checkpoint(), Spoil(batches=(1, 2, 3))
    with pytest.raises(RunError, match="3 steps in a row were not finite") as error:
        fit(task(), spoil, FiniteSteps(limit=2), keep, max_epochs=3)
    assert error.value.where == "epoch 2, batch 4" and "optimizer.lr" in error.value.fix
    content = torch.load(keep.last_model_path, weights_only=True)
    assert all(w.isfinite().all() for w in content["state_dict"].values())
    finite = FiniteSteps(limit=2)
    fit(task(), Spoil(batches=(0, 1, 3, 4)), finite, max_epochs=2)
    assert finite.skipped == 4


def test_the_row_goes_on_after_a_resume(task, fit, tmp_path):
    """Two bad steps before it and one after it are three in a row."""

    class Stop(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.current_epoch == 1 and batch_idx == 2:
                trainer.save_checkpoint(tmp_path / "two.ckpt")

    spoil = Spoil(batches=(1, 2))
    fit(task(), spoil, FiniteSteps(limit=2), Stop())
    assert spoil.times == 2
    state = torch.load(tmp_path / "two.ckpt", weights_only=True)["callbacks"]["FiniteSteps"]
    assert state == {"skipped": 2, "in_a_row": 2}
    with pytest.raises(RunError, match="3 steps in a row were not finite"):
        fit(task(), Spoil(batches=(3,)), FiniteSteps(limit=2), ckpt_path=tmp_path / "two.ckpt")


def test_an_epoch_without_a_finite_loss_is_an_error(task, fit):
    """Whatever the limit."""
    with pytest.raises(RunError, match="training loss is nan in epoch 2"):
        fit(task(), Spoil(batches=range(5)), FiniteSteps(limit=100))


def test_a_good_training_is_the_same_with_it(task, fit):
    """Bit by bit."""
    weights = []
    for callbacks in ([], [FiniteSteps()]):
        module = task(normed())
        fit(module, *callbacks)
        weights.append(list(module.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


class Cached(nn.Module):
    """Puts another buffer in the place of its own: the number of the batch, later a longer one."""

    def __init__(self, longer_from):
        super().__init__()
        self.register_buffer("cache", torch.zeros(2))
        self.longer_from, self.calls = longer_from, 0

    def forward(self, x):
        if self.training:
            self.calls += 1
            length = 3 if self.calls >= self.longer_from else 2
            self.cache = torch.full((length,), float(self.calls))
        return x


@pytest.mark.parametrize(("longer_from", "kept"), [(9, [3.0, 3.0]), (4, [4.0, 4.0, 4.0])])
def test_a_buffer_may_be_another_one_after_each_batch(task, fit, longer_from, kept):
    """A bad step puts the old numbers into it; one of another shape is left as it is."""
    cached, finite, spoil = Cached(longer_from), FiniteSteps(), Spoil(batches=(1,))
    layers = [nn.Flatten(), cached, nn.Linear(64, 10)]
    fit(task(nn.Sequential(*layers)), spoil, finite, limit_train_batches=2)
    assert finite.skipped == spoil.times == 1 and cached.calls == 4
    assert cached.cache.tolist() == kept


class Rare(lightning.LightningModule):
    """With an embedding whose gradient is sparse; the loss of a second batch is as large."""

    def __init__(self, factor):
        super().__init__()
        self.table = nn.Embedding(10, 4, sparse=True)
        self.factor = factor

    def training_step(self, batch, batch_idx):
        return self.table(batch[1]).square().sum() * (self.factor if batch_idx else 1e-3)

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("factor", [1e-3, float("inf")])
def test_sparse_gradients_are_looked_at(fit, capsys, factor):
    """They are trained with, and left out when they are not finite."""
    module, finite, watch = Rare(factor), FiniteSteps(), Watched()
    fit(module, finite, watch, max_epochs=1, limit_train_batches=2)
    start, first, second = watch.seen
    assert not torch.equal(start, first) and bool(second.isfinite().all())
    is_bad = factor != 1e-3
    assert torch.equal(first, second) == is_bad and finite.skipped == is_bad
    assert ("the gradient of table.weight holds infinity" in capsys.readouterr().err) == is_bad


class Watched(lightning.Callback):
    """The table before the training and after each batch."""

    def __init__(self):
        self.seen = []

    def on_train_start(self, trainer, pl_module):
        self.seen.append(pl_module.table.weight.detach().clone())

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        self.on_train_start(trainer, pl_module)


def test_a_negative_limit_is_refused():
    """0 ends at the first."""
    with pytest.raises(InvalidValueError, match="limit = -1"):
        FiniteSteps(limit=-1)


class Spoiling(nn.Module):
    """Gives NaN whatever comes in."""

    def forward(self, x):
        return x * float("nan")


class Function(nn.Module):
    """A loss that is a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


@pytest.mark.parametrize(
    ("layer", "loss", "text"),
    [
        (Spoiling(), cross_entropy, "the output of architecture.1 holds NaN"),
        (nn.Identity(), lambda output, target: output.sum() / 0, "the loss is infinity"),
        (nn.Identity(), lambda output, target: (output - output).sum().sqrt(), "the gradient of"),
    ],
)
def test_the_origin_is_named_and_nothing_is_changed(task, layer, loss, text):
    """A layer, the loss, or a gradient; random state and statistics stay."""
    layers = [nn.Flatten(), layer, nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 10)]
    module = task(nn.Sequential(*layers))
    module.loss = Function(loss)
    batch = (torch.rand(8, 1, 8, 8), torch.arange(8))
    module.loss_of(*module.output_and_target(batch)).backward()
    state = torch.get_rng_state()
    before = [buffer.clone() for buffer in module.buffers()]
    assert text in origin(module, batch).text
    assert torch.equal(state, torch.get_rng_state())
    assert all(
        torch.equal(a, b) or a.isnan().any() for a, b in zip(before, module.buffers(), strict=True)
    )
