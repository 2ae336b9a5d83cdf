"""SpikeRollback in a whole run: counted in the result, and the same in every process."""

import pytest

from dlplug import config
from dlplug.callbacks.rollback.record import FILE
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.report import print_result
from dlplug.storage.json_lines import read_rows
from tests.chaos.loss_spikes import CONFIG, ROLLBACK, Poison
from tests.chaos.script import answers

STEPS = {22, 23, 24}
SHORT = [("trainer.max_epochs", "2"), ("trainer.limit_train_batches", "20")]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "spikes.yaml"
    path.write_text(CONFIG)
    return path


def test_the_result_counts_rollbacks(path, tmp_path, capsys):
    """On the page and for programs; without the callback there is nothing to count."""
    experiment = config.load([path], [*SHORT, ROLLBACK])
    build = experiment.build_callbacks
    experiment.build_callbacks = lambda: [Poison(STEPS), *build()]
    result = verbs.fit(experiment, root=tmp_path, progress=False)
    assert result.rollbacks == 1 and result.to_dict()["rollbacks"] == 1
    capsys.readouterr()
    print_result(result)
    text = f"the training went back before a spike once: {result.run / FILE}"
    assert text in capsys.readouterr().out
    plain = verbs.fit(config.load([path], SHORT), root=tmp_path, progress=False)
    assert plain.rollbacks is None and "rollbacks" not in plain.to_dict()


TWO = """
import json, sys
import lightning
from dlplug import config
from dlplug.run import verbs
from tests.chaos.loss_spikes import ROLLBACK, Poison
from tests.run.test_spike_rollback import SHORT, STEPS
halves = ("data.batch_size", "16")
experiment = config.load([{path!r}], [*SHORT, ROLLBACK, halves, ("trainer.devices", "2")])
seen = []
class OneSided(Poison):
    def on_train_batch_start(self, trainer, *arguments):
        if trainer.global_rank == 1:
            super().on_train_batch_start(trainer, *arguments)
class Watch(lightning.Callback):
    def on_train_batch_end(self, trainer, pl_module, *arguments):
        seen.append(float(sum(p.double().abs().sum() for p in pl_module.parameters())))
poison, build = OneSided(STEPS), experiment.build_callbacks
experiment.build_callbacks = lambda: [poison, *build(), Watch()]
verbs.fit(experiment, root={folder!r}, progress=False)
# In one call: the processes share the pipe.
sys.stdout.write(json.dumps([poison.times, seen]) + "\\n")
"""


@pytest.mark.slow
def test_two_processes_go_back_together(path, tmp_path):
    """Where only one has seen the bad records: both have the same weights after every step."""
    (times, weights), (more_times, more_weights) = answers(
        TWO.format(path=str(path), folder=str(tmp_path)), tmp_path
    )
    assert (times, more_times) == (0, 3) and len(weights) == 40
    assert weights == more_weights
    (row,) = read_rows(Run.find("spikes", tmp_path).path / FILE)
    assert (row["first_bad_step"], row["checkpoint_step"]) == (22, 20)
    assert weights[row["step"] - 1] == weights[19] != weights[row["step"] - 2]
