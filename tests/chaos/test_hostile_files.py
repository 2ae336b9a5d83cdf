"""Nothing of a hostile file is executed, and each is refused with one error."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.chaos.hostile import Payload, offer
from tests.chaos.hostile_files import all_payloads, inject, unarmed

ROOT = Path(__file__).parents[2]
COUNT = 40


@pytest.fixture(scope="module")
def payloads(tmp_path_factory):
    """All of them; the working folder is theirs."""
    folder = tmp_path_factory.mktemp("victim")
    with contextlib.chdir(folder):
        yield all_payloads(folder)


def test_a_sample_of_all_payloads_is_refused(tmp_path):
    """Each of them fires when it is read carelessly; huge declared sizes are not allocated."""
    outcome = inject(COUNT, tmp_path)
    assert outcome.injected == outcome.contained == COUNT, outcome.measured
    assert outcome.measured["memory (MB)"] < 1000


def test_payloads_of_every_kind_are_there(payloads):
    """Under different names, so that none stands for another."""
    names = [payload.name for payload in payloads]
    assert len(names) == len(set(names)) >= 140
    words = ("state_dict", "optimizer_states", "in dlplug", "legacy", "tar", "opcode", "YAML tag")
    assert all(any(word in name for name in names) for word in words)


def test_a_process_of_its_own_refuses_them_too(payloads):
    """As a shell calls it: no traceback, exit code 2."""
    module = "architecture: class path stranger_module.Model"
    wanted = ("os.system in state_dict", module, "--input x.npy")
    chosen = [p for p in payloads if p.name in wanted]
    assert len(chosen) == len(wanted) and not unarmed(chosen)
    for payload in chosen:
        paths = f"{ROOT}{os.pathsep}{payload.folder}"
        done = subprocess.run(
            [sys.executable, "-m", "dlplug", *payload.arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert not payload.canary.exists()


def test_a_canary_that_fires_is_seen(payloads, monkeypatch):
    """The same payload, when checkpoints are loaded as pickles: it is not contained."""
    payload = next(p for p in payloads if p.name == "exec in optimizer_states")
    assert offer(payload).is_right_for(payload)
    load = torch.serialization.load
    monkeypatch.setattr(torch, "load", lambda path, **options: load(path, weights_only=False))
    answer = offer(payload)
    assert payload.canary.exists() and not answer.is_right_for(payload)


def test_a_payload_without_powder_is_named():
    """`unarmed` does not take a payload at its word."""
    payload = Payload("wet", Path("nowhere"), (), "", "pass")
    assert unarmed([payload]) == ["wet"]


@pytest.mark.parametrize("arguments", [{}, {"weights_only": False}, {"weights_only": None}])
def test_the_suite_allows_no_other_load(arguments, tmp_path, loads):
    """Whoever calls torch.load, Lightning included, says ``weights_only=True``."""
    torch.save({}, tmp_path / "x")
    with pytest.raises(AssertionError, match="without weights_only=True"):
        torch.load(tmp_path / "x", **arguments)
    assert loads.pop() == arguments
