"""A run saves in the background, often enough, and only what a training can go on from."""

import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import lightning
import pytest
import torch

from dlplug.errors import StorageError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import checkpoint_io
from dlplug.run.folder import Run
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.storage.manifest import damage
from tests.chaos.full_disk import FILLER, fill, small_disk
from tests.run.interrupted import LONGER, Interrupt, assert_same, fail, fit, state

ACCUMULATED = ("trainer.accumulate_grad_batches", "3")
OFTEN = ("callbacks", "[{name: checkpoint, every_n_steps: 2}]")


class Clock(lightning.Callback):
    """Let a minute pass at each of some batches, by the clock of the checkpoints."""

    def __init__(self, *batches):
        self.batches = batches
        self.now = 0.0

    def on_fit_start(self, trainer, pl_module):
        trainer.checkpoint_callback.interval.clock = lambda: self.now

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.now += 61 * (batch_idx in self.batches)


class Both(lightning.Callback):
    """Two callbacks in one."""

    def __init__(self, *callbacks):
        self.callbacks = callbacks

    def on_fit_start(self, *args):
        for callback in self.callbacks:
            callback.on_fit_start(*args)

    def on_train_batch_start(self, *args):
        for callback in self.callbacks:
            callback.on_train_batch_start(*args)

    def on_train_batch_end(self, *args):
        for callback in self.callbacks:
            callback.on_train_batch_end(*args)


@pytest.mark.parametrize(
    "overrides",
    [(), (ACCUMULATED,), (ACCUMULATED, ("trainer.val_check_interval", "3"))],
    ids=["plain", "accumulated", "with validations"],
)
def test_a_save_by_the_minute_goes_on_with_the_same_bits(tmp_path, experiment, overrides):
    """A crash costs what came after the last minute, and no bit of the rest."""
    whole = fit(experiment(*overrides), tmp_path / "whole")
    # In the second epoch: the batch at which a minute is over, the next step, the crash.
    batch, saved, crash = (3, 5, 6) if ACCUMULATED in overrides else (1, 10, 15)
    with pytest.raises(RuntimeError):
        fit(experiment(*overrides), tmp_path / "parts", Both(Clock(batch), Interrupt(crash, fail)))
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == saved
    fit(experiment(*overrides), tmp_path / "parts", resume="auto")
    for name in ("last", "best"):
        assert_same(state(getattr(Run(whole.run), name)), state(getattr(run, name)))


def test_a_signal_while_gradients_accumulate_waits_for_the_step(tmp_path, experiment):
    """Then it saves and ends, and the training goes on with the same bits."""

    class Terminate(lightning.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 0 and batch_idx == 3:  # the first of three
                os.kill(os.getpid(), signal.SIGTERM)

    whole = fit(experiment(ACCUMULATED), tmp_path / "whole")
    with pytest.raises(SystemExit):
        fit(experiment(ACCUMULATED), tmp_path / "parts", Terminate())
    run = Run.find("tiny", tmp_path / "parts")
    loops = state(run.last)["loops"]["fit_loop"]
    assert loops["epoch_loop.batch_progress"]["current"]["ready"] == 6
    fit(experiment(ACCUMULATED), tmp_path / "parts", resume="auto")
    assert_same(state(Run(whole.run).last), state(run.last))


def test_the_training_goes_on_while_a_save_is_written(tmp_path, experiment, monkeypatch):
    """The file waits for a later step, and holds the state of its own."""
    write, later, files = checkpoint_io.write_checkpoint, threading.Event(), []

    def slow(checkpoint, path):
        assert later.wait(30), "the training waits for the file"
        files.append(checkpoint)
        write(checkpoint, path)

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 2:
                self.weights = {n: t.clone() for n, t in pl_module.state_dict().items()}
                self.moments = [
                    {k: v.clone() for k, v in s.items() if isinstance(v, torch.Tensor)}
                    for s in trainer.optimizers[0].state_dict()["state"].values()
                ]
            if trainer.global_step == 6:
                later.set()

    monkeypatch.setattr(checkpoint_io, "write_checkpoint", slow)
    watch = Watch()
    result = fit(experiment(OFTEN), tmp_path, watch)
    assert files[0]["global_step"] == 2
    torch.testing.assert_close(files[0]["state_dict"], watch.weights, rtol=0, atol=0)
    saved = files[0]["optimizer_states"][0]["state"].values()
    for ours, theirs in zip(watch.moments, saved, strict=True):
        assert ours and all(torch.equal(ours[name], theirs[name]) for name in ours)
    # All is written before the test, which reads the best file.
    run = Run(result.run)
    assert state(run.last)["global_step"] == 16 and damage(run.last) is damage(run.best) is None


class Broken:
    """Writing fails from one save to another one, counted from 1."""

    def __init__(self, monkeypatch, first, last):
        self.write, self.calls = checkpoint_io.write_checkpoint, 0
        self.range = range(first, last + 1)
        monkeypatch.setattr(checkpoint_io, "write_checkpoint", self)

    def __call__(self, checkpoint, path):
        self.calls += 1
        if self.calls in self.range:
            raise StorageError(f"{path} cannot be written: the test says so")
        self.write(checkpoint, path)


def test_an_error_of_the_disk_ends_the_training(tmp_path, experiment, monkeypatch):
    """At the end of the next batch or at the next save, with the file before still there."""
    broken = Broken(monkeypatch, 2, 2)
    with pytest.raises(StorageError, match="the test says so"):
        fit(experiment(OFTEN), tmp_path)
    run = Run.find("tiny", tmp_path)
    assert broken.calls == 2 and run.status["status"] == "failed"
    assert read_checkpoint(run.last)["global_step"] == 2


GO_ON = ("callbacks", "[{name: checkpoint, every_n_steps: 2, on_storage_error: continue}]")


def test_a_training_goes_on_without_its_disk_if_told_so(tmp_path, experiment, monkeypatch, capsys):
    """It ends as any other when the disk is mended before the end, and says how often it failed."""
    whole = fit(experiment(), tmp_path / "whole")
    Broken(monkeypatch, 2, 5)
    result = fit(experiment(GO_ON), tmp_path, None)
    said = capsys.readouterr().err
    assert "the training goes on" in said
    assert "could not be written 4 times in this training; the newest ones are on" in said
    run = Run(result.run)
    assert run.status["status"] == "finished"
    for name in ("last", "best"):
        ours, theirs = state(getattr(Run(whole.run), name)), state(getattr(run, name))
        torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=0, atol=0)


def test_it_ends_with_an_error_if_the_last_save_failed(tmp_path, experiment, monkeypatch):
    """The result of the training is not on the disk: nothing is tested."""
    broken = Broken(monkeypatch, 2, 10**6)
    with pytest.raises(StorageError, match=r"so it was \d+ times in this training") as error:
        fit(experiment(GO_ON), tmp_path)
    assert broken.calls > 3 and error.value.exit_code == 74
    run = Run.find("tiny", tmp_path)
    assert run.status["status"] == "failed" and run.status["tests"] == 0
    assert read_checkpoint(run.last)["global_step"] == 2


class Fill(lightning.Callback):
    """Fill the disk but for 32 KiB at one step, make room at another."""

    def __init__(self, disk, first, last):
        self.disk, self.first, self.last = disk, first, last

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.first:
            trainer.strategy.checkpoint_io.saver.wait()  # it takes room as well
            fill(self.disk, 2**15)
        if trainer.global_step == self.last:
            (self.disk / FILLER).unlink()


@pytest.mark.parametrize("ends", [False, True], ids=["never room again", "room again"])
def test_a_disk_that_gets_full(tmp_path, experiment, capsys, ends):
    """A real one: the bytes are named, and the end is as clean as the last save."""
    large = ("architecture.hidden", "[64, 64]")  # its checkpoints take about 130 KB
    try:
        with small_disk(tmp_path / "disk", "4m") as disk:
            full = Fill(disk, 5, 13 if ends else 10**6)
            if ends:
                run = Run(fit(experiment(GO_ON, large), disk, full).run)
                said = capsys.readouterr().err
                assert run.status["status"] == "finished"
                assert state(run.last)["global_step"] == 16
            else:
                with pytest.raises(StorageError, match="No space left on device") as error:
                    fit(experiment(GO_ON, large), disk, full)
                said = str(error.value)
                assert read_checkpoint(Run.find("tiny", disk).last)["global_step"] == 4
            assert "the checkpoint has " in said and "bytes are free" in said
    except PermissionError as error:
        pytest.skip(str(error))


class FullMetrics(lightning.Callback):
    """No room for metrics from the start of the training on, until its end or for ever."""

    def __init__(self, ends):
        self.ends, self.times = ends, 0

    def on_train_start(self, trainer, pl_module):
        self.file, self.path = trainer.loggers[0], trainer.loggers[0].path
        self.file.path = Path("/dev/full")
        self.times += 1

    def on_train_end(self, trainer, pl_module):
        if self.ends:
            self.file.path = self.path


def test_metrics_wait_for_room(tmp_path, experiment, capsys):
    """A training told to go on loses no line; the others end as with a checkpoint."""
    whole = read_metrics(Run(fit(experiment(), tmp_path / "whole").run).metrics)
    full = FullMetrics(ends=True)
    run = Run(fit(experiment(GO_ON), tmp_path, full).run)
    assert full.times == 1 and "/dev/full cannot be written" in capsys.readouterr().err
    names = [set(row) for row in whole]
    assert [set(row) for row in read_metrics(run.metrics)] == names and len(names) > 2
    for overrides in ((GO_ON,), ()):
        with pytest.raises(StorageError, match="/dev/full cannot be written") as error:
            fit(experiment(*overrides), tmp_path, FullMetrics(ends=False))
        assert error.value.exit_code == 74
        assert Run.find("tiny", tmp_path).status["status"] == "failed"


class FullElsewhere(lightning.Callback):
    """What somebody's logger says on a full disk."""

    def on_train_epoch_end(self, trainer, pl_module):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_whoever_meets_it(tmp_path, experiment):
    """One message instead of a traceback, with the folder and the bytes."""
    with pytest.raises(StorageError, match="1 cannot be written: No space left") as error:
        fit(experiment(), tmp_path, FullElsewhere())
    assert error.value.exit_code == 74 and "bytes are free" in error.value.known
    assert Run.find("tiny", tmp_path).status["status"] == "failed"


def test_a_disk_that_fills_as_the_folder_is_opened(tmp_path, experiment, monkeypatch):
    """A new run says that it failed; one that goes on keeps the end that it had."""
    plugin, root, times = tmp_path / "plugin.py", tmp_path / "runs", []
    plugin.write_text("first = True\n")

    def with_plugin(*overrides):
        made = experiment(*overrides)
        made.registry.files = lambda: [str(plugin)]
        return made

    def full(source, target):
        times.append(target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(StorageError, match="1 cannot be written: No space left") as error:
            fit(with_plugin(), root)
    assert error.value.exit_code == 74 and len(times) == 1
    assert Run.find("tiny", root).status["status"] == "failed"
    run = Run(fit(with_plugin(), root).run)
    plugin.write_text("first = False\n")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match="2 cannot be written: No space left"):
        fit(with_plugin(LONGER), root, resume="tiny")
    assert len(times) == 2 and run.status["status"] == "finished"
