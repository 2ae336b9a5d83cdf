"""Two processes train what one would: DDP and FSDP2 on the CPU, through Lightning's launcher."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dlplug import config
from dlplug.errors import InvalidValueError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.strategies import FullyShardedStrategy, strategy_of

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("fit_script.py")
# Two processes with half the batch see, step by step, the records that one sees with all of it.
CONFIG = """
seed_everything: 3
name: tiny
architecture: {name: vit, patch_size: 4, dim: 16, depth: 2, heads: 2, mlp_ratio: 2.0}
optimizer: {name: adamw, lr: 0.003}
scheduler: {name: warmup_cosine, warmup: 0.1}
data: {name: digits, batch_size: 32}
callbacks: [{name: ema, decay: 0.9}]
trainer: {max_epochs: 2, limit_train_batches: 10, accelerator: cpu}
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def alone(path, tmp_path_factory):
    """The run of one process."""
    experiment = config.load([path], [("trainer.max_epochs", "3")])
    return verbs.fit(experiment, root=tmp_path_factory.mktemp("alone"), progress=False)


def fit(path, root, *overrides, script=SCRIPT):
    """Train in two processes of half the batch."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    two = ["data.batch_size=16", "trainer.devices=2", "trainer.max_epochs=3", *overrides]
    return subprocess.run(
        [sys.executable, "-W", "error", str(script), str(root), str(path), *two],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )


def losses(run):
    rows = read_metrics(run.metrics)
    return {key: [r[key] for r in rows if key in r] for key in ("train_loss", "val_loss")}


def assert_close(ours, theirs):
    """Averages, weights and steps agree."""
    assert ours["global_step"] == theirs["global_step"] == 30
    for mine, other in (
        (ours["state_dict"], theirs["state_dict"]),
        (ours["ema"]["trained"], theirs["ema"]["trained"]),
    ):
        assert mine.keys() == other.keys()
        for name in mine:
            # A common shift of the keys changes no attention: the gradient of their bias is pure
            # rounding noise, which AdamW scales up to full steps.
            if not name.endswith("qkv.bias"):
                torch.testing.assert_close(mine[name], other[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_what_one_does(path, alone, tmp_path, strategy):
    """Losses, weights, averages and test agree, through a SIGTERM and a resume in the same folder.

    A test counts every record once: with torch's own sampler the accuracy would differ.
    Tolerance: sums over two half batches round differently, and AdamW divides by small roots.
    """
    script = tmp_path / "stop.py"
    script.write_text(STOPPING.format(path=str(SCRIPT)))
    stopped = fit(path, tmp_path, f"trainer.strategy={strategy}", script=script)
    run = Run.find("tiny", tmp_path)
    assert stopped.returncode == 143, stopped.stderr
    assert run.status["status"] == "interrupted"
    assert torch.load(run.last, weights_only=True)["global_step"] == 14
    done = fit(path, tmp_path, f"trainer.strategy={strategy}")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert sorted(p.name for p in (tmp_path / "tiny").iterdir()) == ["1"]
    assert losses(run)["val_loss"] == pytest.approx(losses(Run(alone.run))["val_loss"], rel=1e-4)
    for name in ("best.ckpt", "last.ckpt"):
        ours = torch.load(run.checkpoints / name, weights_only=True)
        assert_close(ours, torch.load(alone.run / "checkpoints" / name, weights_only=True))
        assert len(ours["callbacks"]["RandomState"]["ranks"]) == 2
    assert result["metrics"]["test_loss"] == pytest.approx(alone.metrics["test_loss"], rel=1e-4)
    assert result["metrics"]["test_accuracy"] == pytest.approx(alone.metrics["test_accuracy"])
    assert result["tests"] == 1
    # One process can use what two have trained.
    again = verbs.test(config.load([path]), run=run, progress=False)
    assert again.metrics["test_accuracy"] == pytest.approx(result["metrics"]["test_accuracy"])


STOPPING = """
import os, runpy, signal, sys
import dlplug.callbacks.random_state as random_state
class Stop(random_state.RandomState):
    @property
    def state_key(self):
        return "RandomState"
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 14 and trainer.is_global_zero:
            os.kill(os.getpid(), signal.SIGTERM)
import dlplug.run.training as training
training.RandomState = Stop
runpy.run_path({path!r}, run_name="__main__")
"""


def test_shards_in_a_folder_are_refused():
    """last.ckpt is one complete file; Lightning's default would be a folder."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    with pytest.raises(InvalidValueError, match="folder of shards") as error:
        strategy_of(ModelParallelStrategy())
    assert "use strategy 'fsdp2'" in str(error.value)
    single = ModelParallelStrategy(save_distributed_checkpoint=False)
    assert strategy_of(single) is single
    assert strategy_of("ddp") == "ddp"
    assert isinstance(strategy_of("fsdp2"), FullyShardedStrategy)
