"""validate and test: the same numbers as the training's, counted where they must be."""

import json
import os
import signal
import subprocess
from pathlib import Path

import lightning
import pytest

from dlplug import config
from dlplug.data.digits import Digits
from dlplug.errors import CheckpointError, ConfigError, StorageError
from dlplug.run import verbs
from dlplug.run.evaluation import record_test
from dlplug.run.folder import Run
from dlplug.run.report import print_result
from dlplug.run.result import Result
from tests import forked

EMA = ("callbacks", "[{name: ema, decay: 0.9}, early_stopping, lr_monitor]")


@pytest.fixture(scope="module")
def trained(digits_file, tmp_path_factory):
    """A run with averaged weights."""
    experiment = config.load([digits_file], [EMA])
    root = tmp_path_factory.mktemp("runs")
    return verbs.fit(experiment, root=root, progress=False)


def again(trained):
    return config.load([Run(trained.run).resolved])


def test_a_test_repeats_the_trainings_numbers_and_is_counted(trained):
    """From the run folder alone; the run says how often its test split has been touched."""
    run = Run(trained.run)
    before = run.status["tests"]
    result = verbs.test(again(trained), run=run, progress=False)
    expected = {k: v for k, v in trained.metrics.items() if k.startswith("test_")}
    assert result.metrics == expected
    assert result.tests == before + 1 == run.status["tests"]
    assert json.loads(run.test.read_text())["tests"] == result.tests
    assert result.checkpoint == run.best


def test_a_validation_repeats_the_trainings_numbers_and_is_not_counted(trained):
    """Of the best epoch, on all validation records."""
    run = Run(trained.run)
    before = run.status["tests"]
    unlimited = config.load([run.resolved], [("trainer.limit_val_batches", "2")])
    result = verbs.validate(unlimited, run=run, progress=False)
    expected = {k: v for k, v in trained.metrics.items() if k.startswith("val_")}
    assert result.metrics == pytest.approx(expected)
    assert run.status["tests"] == before and result.tests is None


def test_another_checkpoint_can_be_named(trained):
    """Without a run nothing is recorded."""
    result = verbs.test(again(trained), ckpt_path=Run(trained.run).last, progress=False)
    assert result.run is None and result.tests is None and "test_loss" in result.metrics


def test_weights_must_be_named(trained):
    """An untrained model has nothing to be tested."""
    with pytest.raises(ConfigError, match="test needs trained weights"):
        verbs.test(again(trained), progress=False)


def test_another_architecture_is_refused_by_name(trained, digits_file):
    """Both architectures are named, with their arguments."""
    other = config.load([digits_file], [("architecture", "{name: vit, dim: 16, heads: 2}")])
    with pytest.raises(CheckpointError) as error:
        verbs.test(other, run=Run(trained.run), progress=False)
    text = str(error.value)
    assert "architecture dlplug:mlp(" in text and "hidden=[16]" in text
    assert "names dlplug:vit(" in text
    with pytest.raises(CheckpointError, match="vit"):
        verbs.fit(other, ckpt_path=Run(trained.run).last, root="unused", progress=False)


def test_another_width_is_refused_by_weight(trained, digits_file):
    """The first weight of another shape is named."""
    other = config.load([digits_file], [("architecture.hidden", "[32]")])
    with pytest.raises(CheckpointError, match=r"is \(16, 64\), not \(32, 64\)"):
        verbs.test(other, run=Run(trained.run), progress=False)


def test_no_test_split_is_an_error(trained):
    """test_fraction 0 leaves nothing to test on; the training had more."""
    empty = config.load([Run(trained.run).resolved], [("data.test_fraction", "0.0")])
    with pytest.raises(ConfigError, match="data digits has no test split") as error:
        verbs.test(empty, run=Run(trained.run), progress=False)
    assert error.value.fix == "divide the data as for the training"


def test_a_test_split_cannot_be_made_after_the_training(digits_file, tmp_path):
    """All records were trained on: the fix is another training, not another fraction."""
    experiment = config.load([digits_file], [("data.test_fraction", "0.0")])
    run = Run(verbs.fit(experiment, root=tmp_path, progress=False).run)
    with pytest.raises(ConfigError, match="data digits has no test split") as error:
        verbs.test(config.load([run.resolved]), run=run, progress=False)
    assert error.value.fix == (
        "train again with data.test_fraction above 0, or use the verb `validate`"
    )


def test_no_validation_split_is_an_error(trained):
    """validation_fraction 0 leaves nothing to validate on."""
    empty = config.load([Run(trained.run).resolved], [("data.validation_fraction", "0.0")])
    with pytest.raises(ConfigError, match="no records to validate on"):
        verbs.validate(empty, run=Run(trained.run), progress=False)


def test_the_test_split_stays_closed_while_validating(trained, monkeypatch):
    """Only the verb test and the end of a training open it."""
    opened = []
    dataloader = Digits.test_dataloader
    monkeypatch.setattr(
        Digits, "test_dataloader", lambda self: opened.append(self._stage) or dataloader(self)
    )
    verbs.validate(again(trained), run=Run(trained.run), progress=False)
    assert opened == []
    verbs.test(again(trained), run=Run(trained.run), progress=False)
    assert opened == ["test"]


def test_a_run_without_a_progress_bar_is_evaluated_without_one(trained):
    """What the run's own config says about the bar holds for every verb on it."""
    overrides = [("trainer.enable_progress_bar", "false")]
    quiet = config.load([Run(trained.run).resolved], overrides)
    result = verbs.validate(quiet, run=Run(trained.run), progress=True)
    assert set(result.metrics) == {"val_loss", "val_accuracy"}


class Interrupt(lightning.Callback):
    """Send a signal to this process in the first batch of any evaluation."""

    def __init__(self, signum):
        self.send = lambda *arguments: os.kill(os.getpid(), signum)
        self.on_validation_batch_start = self.on_test_batch_start = self.send
        self.on_predict_batch_start = self.send


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_evaluation_with_its_code(trained, verb, signum):
    """Lightning's own handler would end it with the code of success."""
    run = Run(trained.run)
    tests = run.status["tests"]
    interrupted = again(trained)
    interrupted.build_callbacks = lambda: [Interrupt(signum)]
    before = signal.getsignal(signum)
    with pytest.raises(SystemExit) as raised:
        getattr(verbs, verb)(interrupted, run=run, progress=False)
    assert raised.value.code == 128 + signum
    assert signal.getsignal(signum) is before
    assert run.status["tests"] == tests and not list(run.path.glob("predictions*"))


def test_a_limit_of_batches_is_told(digits_file, tmp_path, capsys):
    """In the result and beside the run's metrics; also where the training ends with the test."""
    experiment = config.load([digits_file], [("trainer.limit_test_batches", "1")])
    result = verbs.fit(experiment, root=tmp_path, progress=False)
    run, batches = Run(result.run), -(-experiment.datamodule.split_sizes["test"] // 32)
    for one in (result, verbs.test(config.load([run.resolved]), run=run, progress=False)):
        assert one.batches == f"1 of {batches}" == json.loads(run.test.read_text())["batches"]
        print_result(one)
        assert f"batches      1 of {batches}, by a limit of the trainer" in capsys.readouterr().out
    whole = config.load([run.resolved], [("trainer.limit_test_batches", "1.0")])
    assert verbs.test(whole, run=run, progress=False).batches is None
    assert "batches" not in json.loads(run.test.read_text())
    few = verbs.validate(config.load([run.resolved]), run=run, progress=False).batches
    assert few.startswith("2 of ")


@pytest.mark.parametrize("limit", ["limit_predict_batches: 1", "fast_dev_run: true"])
def test_all_is_predicted_whatever_the_limit(trained, tmp_path, limit):
    """A table that ends early looks like one of all records."""
    name, value = limit.split(": ")
    limited = config.load([Run(trained.run).resolved], [(f"trainer.{name}", value)])
    result = verbs.predict(
        limited, ckpt_path=Run(trained.run).best, output=tmp_path / "x.csv", progress=False
    )
    records = limited.datamodule.split_sizes["test"]
    assert len(result.predictions.read_text().splitlines()) == 1 + records > 40


def test_the_checkpoint_of_another_run_is_no_test_of_this_one(trained, tmp_path):
    """A name alone, such as best.ckpt, would be taken for its own."""
    run = Run(trained.run)
    before = run.status["tests"], run.test.read_text()
    foreign = tmp_path / "best.ckpt"
    foreign.write_bytes(run.best.read_bytes())
    result = verbs.test(again(trained), run=run, ckpt_path=foreign, progress=False)
    assert result.checkpoint == foreign and result.tests is None
    assert (run.status["tests"], run.test.read_text()) == before
    assert verbs.test(again(trained), run=run, ckpt_path=run.last, progress=False).tests
    assert json.loads(run.test.read_text())["checkpoint"] == "last.ckpt"


COUNTING = """
import sys
from pathlib import Path
from dlplug.run.evaluation import record_test
from dlplug.run.folder import Run
from dlplug.run.result import Result
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    record_test(Run(Path(sys.argv[1])), Result("test", {"test_loss": 0.5}))
"""


def test_a_test_counts_whose_numbers_cannot_be_written(tmp_path):
    """It has looked at the test split all the same."""
    run = Run.create(tmp_path, "x")
    run.test.mkdir()
    with pytest.raises(StorageError, match=r"test\.json"):
        record_test(run, Result("test", {"test_loss": 0.5}))
    assert run.status["tests"] == 1


def test_tests_at_the_same_time_are_all_counted(tmp_path):
    """Two processes with a hundred each; the last count stands beside the metrics as well."""
    run = Run.create(tmp_path, "x")
    script = tmp_path / "count.py"
    script.write_text(COUNTING)
    command = [forked.python(), str(script), str(run.path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    counting = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    ready = [process.stdout.readline() for process in counting]
    for process in counting:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.wait(300) for process in counting] == [0, 0] and ready == [b"ready\n"] * 2
    for process in counting:
        process.stdin.close()
        process.stdout.close()
    assert run.status["tests"] == json.loads(run.test.read_text())["tests"] == 200
