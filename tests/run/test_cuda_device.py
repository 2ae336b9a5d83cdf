"""DDP and FSDP2 on a GPU, through Lightning: one process, whose collectives are NCCL's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops.gpu import needs_gpu

pytestmark = needs_gpu
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "gpu_check" / "digits.yaml"


def losses(folder, strategy, accelerator="gpu", backend="cuda"):
    """Of each epoch of a training by the kernels alone."""
    words = {"strategy": strategy, "accelerator": accelerator, "max_epochs": "2"}
    command = [sys.executable, "-m", "dlplug", "fit", "--config", str(CONFIG), "--name", strategy]
    command += [word for key, value in words.items() for word in (f"--trainer.{key}", value)]
    settings = {"DLPLUG_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    rows = (folder / "runs" / strategy / "1" / "metrics.jsonl").read_text().splitlines()
    return [row["train_loss"] for row in map(json.loads, rows) if "train_loss" in row]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_group_of_one_trains_what_one_process_does(strategy, tmp_path):
    """With clipping and averages; float32 rounds alike but for the order of the norm's sum."""
    expected = losses(tmp_path, "auto")
    assert len(expected) == 2 and expected[1] < expected[0]
    assert losses(tmp_path, strategy) == pytest.approx(expected, rel=1e-3)
