"""Processes of one training with different code: each of them names who differs in what."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import forked
from tests.meeting import meeting, own

ROOT = Path(__file__).parents[2]
CONFIG = """
architecture: {name: mlp, hidden: [4]}
loss: acme_ce
data: {name: digits, batch_size: 256}
trainer: {max_epochs: 1, limit_train_batches: 1, accelerator: cpu, devices: 2, strategy: ddp}
name: tiny
"""


def install(site: Path, version: str) -> None:
    """A distribution with a loss."""
    info = site / f"acme-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: acme\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[dlplug.losses]\nacme_ce = acme_losses:Loss\n")
    text = "from dlplug.losses.cross_entropy import CrossEntropyLoss as Loss\n"
    (site / "acme_losses.py").write_text(text)


@pytest.mark.slow
def test_processes_with_different_plugins_do_not_train(tmp_path):
    """As on two machines with different environments; no run folder is left."""
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    started = []
    with meeting(2) as place:
        for rank, version in enumerate(("1.0", "1.1")):
            install(tmp_path / version, version)
            paths = {"PYTHONPATH": f"{tmp_path / version}:{ROOT}", "OMP_NUM_THREADS": "1"}
            started.append(
                subprocess.Popen(
                    [forked.python(), "-m", "dlplug", "fit", "--config", "tiny.yaml"],
                    cwd=tmp_path,
                    env=os.environ | paths | place | own(rank),
                    stderr=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                )
            )
        told = [process.communicate(timeout=150)[1] for process in started]
    for rank, (process, text) in enumerate(zip(started, told, strict=True)):
        assert process.returncode == 2, text
        assert (
            "RunError: the processes of this training differ: acme: version 1.0 in process 0,"
            in text
        )
        assert f"1.1 in process 1\n  where: process {rank} of 2" in text
    assert not (tmp_path / "runs").exists()
