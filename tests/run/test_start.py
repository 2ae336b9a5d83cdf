"""RunStart: all processes agree before the folder is made."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dlplug.errors import RunError
from dlplug.run.folder import Run
from dlplug.run.start import RunStart

LOCK = '[{"id": "a:b", "kind": "losses", "version": "1"}]'

RECORD = {"resolved": {"seed_everything": 0}}


class Strategy:
    """The second of two processes, in which the first one says ``said``."""

    def __init__(self, said):
        self.said = list(said)

    def broadcast(self, value):
        return self.said.pop(0)

    def reduce_boolean_decision(self, decision, all):
        return decision


def start(said, attached=None):
    def open_run():
        raise AssertionError("only the first process makes the folder")

    attached = [] if attached is None else attached
    callback = RunStart(LOCK, RECORD, None, open_run, attached.append)
    trainer = SimpleNamespace(
        strategy=Strategy(said), is_global_zero=False, global_rank=1, world_size=2
    )
    callback.on_fit_start(trainer, None)


def test_the_other_processes_take_the_first_ones_folder():
    """Whatever they would have chosen."""
    attached = []
    start([(LOCK, "None", 0), "runs/x/3"], attached=attached)
    assert attached == [Run(Path("runs/x/3"))]


def test_other_plugins_are_refused():
    """The message says which component differs in what, and in which process."""
    other = LOCK.replace('"1"', '"2"')
    with pytest.raises(RunError, match="a:b losses: version is 1 and 2") as error:
        start([(other, "None", 0), "runs/x/3"])
    assert "process 1 of 2" in str(error.value)


def test_another_resume_is_refused():
    """One process sees a run to go on with, the other does not."""
    with pytest.raises(RunError, match=r"continues from runs/x/1/last\.ckpt, this one None"):
        start([(LOCK, "runs/x/1/last.ckpt", 0), "runs/x/3"])


def test_another_seed_is_refused():
    """Each process would split and shuffle the data its own way."""
    with pytest.raises(RunError, match="seed_everything is 7 in the first process, 0 in this one"):
        start([(LOCK, "None", 7), "runs/x/3"])
