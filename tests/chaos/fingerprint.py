"""What a training leaves behind, as hashes: two trainings are the same if these are."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

from dlplug.run.folder import Run

CHECKPOINTS = ("last.ckpt", "best.ckpt")


def fingerprint(run: Run) -> dict[str, str]:
    """SHA-256 by name of everything that a training computes.

    Each key of each checkpoint on its own (weights, optimizer, schedule, average, random states,
    position of the loader), the metrics without their times, the result of the test. Left out is
    how often the run was tested: a test that was killed after its record is counted, and rightly.
    """
    found = {}
    for name in CHECKPOINTS:
        content = torch.load(run.checkpoints / name, weights_only=True)
        found |= {f"{name} {key}": digest(value) for key, value in content.items()}
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    found["metrics.jsonl"] = digest([{k: v for k, v in row.items() if k != "time"} for row in rows])
    test = json.loads(run.test.read_text())
    found["test.json"] = digest({"checkpoint": test["checkpoint"], "metrics": test["metrics"]})
    return found


def difference(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Names whose hashes differ, or that only one side has."""
    return sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))


def digest(value: Any) -> str:
    """SHA-256 of tensors, containers and plain data: every bit, type and shape counts."""
    state = hashlib.sha256()
    _add(state, value)
    return state.hexdigest()


def _add(state, value: Any) -> None:
    state.update(type(value).__name__.encode() + b"(")
    if isinstance(value, torch.Tensor):
        state.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        state.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _add(state, key)
            _add(state, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(state, item)
    else:  # a float's repr tells every bit of it
        state.update(repr(value).encode())
    state.update(b")")
