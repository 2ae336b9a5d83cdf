"""pretrained: what is loaded, what is left, and what does not fit."""

from pathlib import Path

import pytest
import torch

from dlplug import config
from dlplug.architectures.mlp import MLP
from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.ema import EMA
from dlplug.callbacks.pretrained import Pretrained, find
from dlplug.errors import CheckpointError, InvalidValueError, RunError
from dlplug.run import verbs
from dlplug.run.checkpoint_io import DurableCheckpointIO


def mlp(num_outputs=10):
    return MLP(num_outputs=num_outputs, num_features=64, hidden=[16])


@pytest.fixture
def trained(task, fit):
    """Path of a checkpoint with averaged weights."""
    keep = Checkpoint()
    fit(task(mlp()), EMA(0.9), keep)
    return keep.last_model_path


def head_of(module):
    return [n for n in module.state_dict() if n.startswith("layers")][-1].rpartition(".")[0]


def test_weights_are_loaded_and_the_head_is_left(task, fit, trained, capsys):
    """A head of another width stays as initialised; standard error says so."""
    module = task(mlp(12))
    head = head_of(module.architecture)
    fresh = {n: t.clone() for n, t in module.architecture.state_dict().items()}
    fit(module, Pretrained(trained, [head]), max_steps=0, num_sanity_val_steps=0)
    saved = torch.load(trained, weights_only=True)["state_dict"]
    for name, tensor in module.architecture.state_dict().items():
        expected = fresh[name] if name.startswith(head) else saved[f"architecture.{name}"]
        assert torch.equal(tensor, expected), name
    said = capsys.readouterr().err
    assert f"left as initialised: {head}.bias, {head}.weight" in said and trained in said


def test_a_resumed_training_keeps_its_own_weights(trained, tmp_path):
    """Two epochs and one more equal three; the old file is not needed any more."""
    other = tmp_path / "other.ckpt"
    other.write_bytes(Path(trained).read_bytes())
    path = tmp_path / "config.yaml"
    path.write_text(
        "architecture: {name: mlp, hidden: [16]}\ndata: digits\n"
        f"callbacks: [{{name: pretrained, checkpoint: {other}}}]\n"
        "trainer: {limit_train_batches: 5, limit_val_batches: 2, accelerator: cpu}\n"
    )

    def run(root, epochs, **arguments):
        experiment = config.load([path], [("trainer.max_epochs", str(epochs))])
        result = verbs.fit(experiment, root=tmp_path / root, progress=False, **arguments)
        return torch.load(result.run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]

    whole = run("whole", 3)
    run("parts", 2)
    other.unlink()
    resumed = run("parts", 3, resume=str(next((tmp_path / "parts").glob("*/1"))))
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


def test_a_run_means_its_best_checkpoint(tmp_path, monkeypatch):
    """By folder, by name (its newest run) and by name and number, else the last one."""
    monkeypatch.chdir(tmp_path)
    for number, name in ((2, "best"), (2, "last"), (10, "last")):
        path = tmp_path / f"runs/old/{number}/checkpoints/{name}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        (tmp_path / f"runs/old/{number}/run.json").write_text('{"status": "", "started": 0}')
    assert find("runs/old/2").parts[-3:] == ("2", "checkpoints", "best.ckpt")
    assert find("old/2") == find("runs/old/2")
    assert find("old").parts[-3:] == ("10", "checkpoints", "last.ckpt")
    (tmp_path / "runs/old/10/checkpoints/last.ckpt").unlink()
    with pytest.raises(CheckpointError, match="the run old has no checkpoint yet"):
        find("old")
    with pytest.raises(RunError, match="'odl' is no file, and there is no run 'odl'") as error:
        find("odl")
    assert error.value.known == "old" and "did you mean 'old'" in error.value.fix


@pytest.mark.parametrize(
    ("width", "replace", "error", "message"),
    [
        (12, [], CheckpointError, "is (10,) there and (12,) here, and 1 more"),
        (10, ["layer.9"], InvalidValueError, "is named 'layer.9'"),
    ],
)
def test_what_does_not_fit_is_refused(task, fit, trained, width, replace, error, message):
    """A tensor of another shape, and a pattern of nothing."""
    with pytest.raises(error) as raised:
        fit(task(mlp(width)), Pretrained(trained, replace))
    assert message in str(raised.value)


def test_another_file_than_the_manifest_says_is_refused(task, fit, trained, tmp_path):
    """Weights are read as every checkpoint is."""
    content = torch.load(trained, weights_only=True)
    path = tmp_path / "run" / "best.ckpt"
    DurableCheckpointIO().save_checkpoint(content, path)
    path.write_bytes(Path(trained).read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="the manifest says"):
        fit(task(mlp()), Pretrained(str(path)))


def test_a_damaged_file_is_refused(task, fit, trained, tmp_path):
    """One bit of a weight, and something else than a checkpoint."""
    content = bytearray(Path(trained).read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.ckpt"
    for data in (bytes(content), b"no archive"):
        damaged.write_bytes(data)
        with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
            fit(task(mlp()), Pretrained(str(damaged)))
