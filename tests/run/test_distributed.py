"""Two processes train what one would: DDP and FSDP2 on the CPU, through Lightning's launcher."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dlplug import config
from dlplug.errors import InvalidValueError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.strategies import FullyShardedStrategy, strategy_of
from tests import forked

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


def fit(path, root, *overrides, script=SCRIPT, python=None):
    """Train in two processes of half the batch, both forked unless an interpreter is given."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    two = ["data.batch_size=16", "trainer.devices=2", "trainer.max_epochs=3", *overrides]
    return subprocess.run(
        [python or forked.python(), "-W", "error", str(script), str(root), str(path), *two],
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

    One of the four trainings starts as a user's does; the others find the imports done.
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
    real = sys.executable if strategy == "ddp" else None
    done = fit(path, tmp_path, f"trainer.strategy={strategy}", python=real)
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
import dlplug.callbacks.implicit.random_state as random_state
class Stop(random_state.RandomState):
    @property
    def state_key(self):
        return "RandomState"
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 14 and trainer.is_global_zero:
            os.kill(os.getpid(), signal.SIGTERM)
import dlplug.run.callbacks as callbacks
callbacks.RandomState = Stop
runpy.run_path({path!r}, run_name="__main__")
"""


SPOILING = """
import runpy, sys
import dlplug.callbacks.implicit.random_state as random_state
class Spoil(random_state.RandomState):
    @property
    def state_key(self):
        return "RandomState"
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 4 and trainer.is_global_zero:
            batch[0][2] = float("nan")
import dlplug.run.callbacks as callbacks
callbacks.RandomState = Spoil
runpy.run_path({path!r}, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_bad_record_in_one_process_stops_none(path, tmp_path, strategy):
    """All leave the step out, and none waits for ever for the one that has found the record."""
    script = tmp_path / "spoil.py"
    script.write_text(SPOILING.format(path=str(SCRIPT)))
    short = ("trainer.max_epochs=1", "trainer.limit_val_batches=1")
    done = fit(path, tmp_path, f"trainer.strategy={strategy}", *short, script=script)
    assert done.returncode == 0, done.stderr
    assert "epoch 1, batch 5: the step was left out" in done.stderr
    run = Run.find("tiny", tmp_path)
    assert all(
        t.isfinite().all() for t in torch.load(run.last, weights_only=True)["state_dict"].values()
    )


PREDICTING = """
import sys
from dlplug import config
from dlplug.run import verbs
from dlplug.run.folder import Run
run = Run.find(sys.argv[1])
experiment = config.load([run.resolved], [("trainer.devices", "2")])
verbs.predict(experiment, run=run, input=sys.argv[2], output=sys.argv[3], progress=False)
"""


@pytest.mark.slow
def test_two_processes_predict_each_input_once(path, alone, tmp_path):
    """In the order of the file, as one process does."""
    script, images = tmp_path / "predict.py", tmp_path / "x.npy"
    script.write_text(PREDICTING)
    np.save(images, load_digits().images[:7])
    run = Run(alone.run)
    verbs.predict(
        config.load([run.resolved]),
        run=run,
        input=images,
        output=tmp_path / "1.csv",
        progress=False,
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    done = subprocess.run(
        [forked.python(), str(script), str(run.path), str(images), str(tmp_path / "2.csv")],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr

    def rows_of(name):
        return np.loadtxt(tmp_path / name, delimiter=",", skiprows=1)

    # Rounded to six digits, of sums over batches of other sizes.
    np.testing.assert_allclose(rows_of("2.csv"), rows_of("1.csv"), rtol=1e-4)


FAILING = """
import os, sys, tempfile
from pathlib import Path
from dlplug import config
from dlplug.errors import DlplugError
from dlplug.run import verbs
from dlplug.run.folder import Run
folder, rank = Path(sys.argv[3]), os.environ.get("LOCAL_RANK", "0")
def fail(*arguments, **further):
    raise OSError("only here")
if rank == "0" and sys.argv[2] != "empty":
    module, _, name = sys.argv[2].partition(".")
    setattr(sys.modules[module], name, fail)
run = Run.find(sys.argv[1])
small = ("data.test_fraction", "0.0" if sys.argv[2] == "empty" else "0.2")
experiment = config.load([run.resolved], [("trainer.devices", "2"), small])
try:
    verbs.predict(experiment, run=run, output=folder / "x.csv", any_split=True, progress=False)
except DlplugError as error:
    (folder / rank).write_text(error.what)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["tempfile.TemporaryFile", "os.replace", "empty"])
def test_what_the_first_process_cannot_write_ends_all(alone, tmp_path, what):
    """Opening its file, giving it its name; so does a split without records."""
    script = tmp_path / "fail.py"
    script.write_text(FAILING)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    done = subprocess.run(
        [forked.python(), str(script), str(Run(alone.run).path), what, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [(tmp_path / rank).read_text() for rank in "01"]
    assert told[0] == told[1]
    assert ("has no records to predict" if what == "empty" else "only here") in told[0]
    assert not (tmp_path / "x.csv").exists()


def test_shards_in_a_folder_are_refused():
    """Lightning's own, that is, which hold pickled objects."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    with pytest.raises(InvalidValueError, match="folder of shards") as error:
        strategy_of(ModelParallelStrategy())
    assert "use strategy 'fsdp2_sharded'" in str(error.value)
    single = ModelParallelStrategy(save_distributed_checkpoint=False)
    assert strategy_of(single) is single
    assert strategy_of("ddp") == "ddp"
    assert isinstance(strategy_of("fsdp2"), FullyShardedStrategy)
