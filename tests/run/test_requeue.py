"""On SLURM, a training that its time limit ends is saved and put back into the queue."""

import os
import signal
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment

from dlplug.callbacks.implicit.termination import _requeue_signal
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.requeue import requeue_job


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """What ``scontrol`` is asked for."""
    asked = tmp_path / "asked.txt"
    command = tmp_path / "bin" / "scontrol"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return lambda: asked.read_text() if asked.exists() else ""


class Told(lightning.Callback):
    """A signal in the middle of the fifth step."""

    def __init__(self, signum):
        self.signum = signum

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == 4:
            os.kill(os.getpid(), self.signum)


@pytest.fixture
def code_after(tmp_path, experiment, monkeypatch):
    """Exit code of a training on SLURM that gets a signal."""
    monkeypatch.setattr(
        "dlplug.callbacks.implicit.termination._requeue_signal", lambda trainer: signal.SIGUSR1
    )

    def train(signum):
        trial = experiment()
        build = trial.build_callbacks
        trial.build_callbacks = lambda: [Told(signum), *build()]
        with pytest.raises(SystemExit) as exit:
            verbs.fit(trial, root=tmp_path, progress=False)
        return exit.value.code

    return train


def test_the_step_is_saved_and_the_job_queued_again(tmp_path, code_after, queue):
    """With SLURM's own signal; a resume goes on with last.ckpt, which is the newest state."""
    assert code_after(signal.SIGUSR1) == 128 + signal.SIGUSR1
    run = Run.find("tiny", tmp_path)
    assert torch.load(run.last, weights_only=True)["global_step"] == 5
    assert run.status["status"] == "interrupted"
    assert queue() == "requeue 77\n"


def test_an_ordinary_end_is_not_queued_again(code_after, queue):
    """SIGTERM is how a user cancels a job."""
    assert code_after(signal.SIGTERM) == 143 and queue() == ""


def test_a_task_of_an_array_has_its_own_number(monkeypatch, queue):
    """As SLURM writes it."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    requeue_job()
    assert queue() == "requeue 70_3\n"


def test_a_missing_scontrol_is_named(monkeypatch, tmp_path, capsys):
    """What is saved stays saved."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    requeue_job()
    assert "does not take job 77 back into its queue" in capsys.readouterr().err


@pytest.mark.parametrize("requeues", [True, False])
def test_slurm_is_recognised(monkeypatch, requeues):
    """With its requeueing, unless that is turned off."""
    monkeypatch.setattr(SLURMEnvironment, "_validate_srun_used", lambda self: None)
    monkeypatch.setattr(SLURMEnvironment, "_validate_srun_variables", lambda self: None)
    connector = SimpleNamespace(cluster_environment=SLURMEnvironment(auto_requeue=requeues))
    found = _requeue_signal(SimpleNamespace(_accelerator_connector=connector))
    assert found == (signal.SIGUSR1 if requeues else None)
