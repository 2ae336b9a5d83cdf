"""RunStart: all processes agree before the folder is made."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlplug.errors import RunError
from dlplug.run.folder import Run
from dlplug.run.start import RunStart

LOCK = {
    "format": 2,
    "python": "3.11.9",
    "distributions": {"acme": {"version": "1.0"}},
    "components": [{"kind": "losses", "id": "acme:dice", "entry_point": "a:D", "sha256": None}],
}
RECORD = {"resolved": {"seed_everything": 0}}


class Strategy:
    """The second of two processes; what the first one has is the answer to every broadcast."""

    def __init__(self, is_equal, said):
        self.is_equal, self.said, self.sent = is_equal, said, []

    def broadcast(self, value, src=0):
        self.sent.append(value)
        if src == 1 or (self.is_equal and value):
            return value
        return "another hash" if len(self.sent) == 1 else self.said

    def reduce_boolean_decision(self, decision, all):
        assert decision is self.is_equal
        return decision


def start(first=None, attached=None):
    """``first`` is what the first process knows otherwise; None for nothing."""

    def open_run():
        raise AssertionError("only the first process makes the folder")

    attached = [] if attached is None else attached
    callback = RunStart(LOCK, RECORD, None, open_run, attached.append)
    known = {"lock": LOCK, "checkpoint": "None", "seed": 0} | (first or {})
    said = "runs/x/3" if first is None else json.dumps(known)
    strategy = Strategy(first is None, said)
    trainer = SimpleNamespace(strategy=strategy, is_global_zero=False, global_rank=1, world_size=2)
    callback.on_fit_start(trainer, None)
    return strategy


def test_the_other_processes_take_the_first_ones_folder():
    """Whatever they would have chosen; of what they know only a hash was sent."""
    attached = []
    strategy = start(attached=attached)
    assert attached == [Run(Path("runs/x/3"))]
    assert [len(value) for value in strategy.sent] == [64, 0]


def test_other_plugins_are_refused():
    """The message says what differs, and in which process."""
    other = copy.deepcopy(LOCK)
    other["distributions"]["acme"]["version"] = "2.0"
    other["components"] = []
    with pytest.raises(RunError) as error:
        start({"lock": other})
    assert error.value.what == (
        "the processes of this training differ: acme: version 2.0 in process 0, 1.0 in process 1;"
        " acme:dice (losses): in process 1, not in process 0"
    )
    assert error.value.where == "process 1 of 2"


def test_another_resume_is_refused():
    """One process sees a run to go on with, the other does not."""
    text = r"continues from runs/x/1/last\.ckpt in process 0, None in process 1"
    with pytest.raises(RunError, match=text):
        start({"checkpoint": "runs/x/1/last.ckpt"})


def test_another_seed_is_refused():
    """Each process would split and shuffle the data its own way."""
    with pytest.raises(RunError, match="seed_everything 7 in process 0, 0 in process 1"):
        start({"seed": 7})
