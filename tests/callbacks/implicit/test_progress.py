"""Progress: a bar in a terminal, a plain line per epoch elsewhere, never on standard output."""

import sys
from unittest.mock import Mock

from lightning.pytorch.callbacks import RichProgressBar

from dlplug.callbacks.implicit import progress
from dlplug.callbacks.implicit.progress import EpochLines, epoch_line, progress_bar


def test_a_line_after_each_epoch(task, fit, capsys):
    """Number, losses and metrics; nothing on standard output."""
    fit(task(), EpochLines(), enable_progress_bar=True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2  ")
    assert "train_loss 2." in lines[0] and "val_accuracy 0." in lines[0]
    assert "_step" not in err


def test_a_resumed_epoch_is_timed_from_the_resume(monkeypatch, capsys):
    """Lightning does not say that it starts."""
    monkeypatch.setattr(progress.time, "monotonic", iter([5000.0, 5002.5]).__next__)
    trainer = Mock(current_epoch=0, max_epochs=2, callback_metrics={})
    lines = EpochLines()
    lines.on_train_start(trainer, None)
    lines.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().err == "epoch 1/2  2.50 s\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    """And anything else gets lines."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(progress_bar(), RichProgressBar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(progress_bar(), EpochLines)


def test_a_disabled_one_is_silent(task, fit, capsys):
    """As on every process but the first."""
    lines = EpochLines()
    lines.disable()
    fit(task(), lines, enable_progress_bar=True)
    assert capsys.readouterr().err == ""


def test_the_line_says_what_belongs_to_the_epoch():
    """Values of single steps and learning rates are left out; an open end is no number."""
    metrics = {"train_loss": 0.51234, "train_loss_step": 0.1, "lr": 0.1}
    assert epoch_line(3, 20, metrics, 1.25) == "epoch 3/20  train_loss 0.5123  1.25 s"
    assert epoch_line(3, -1, {}, 0.5) == "epoch 3  0.50 s"
