"""A training in two processes, of which one may be lost."""

import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dlplug.run.folder import Run
from dlplug.storage.checkpoint import read_checkpoint
from tests.chaos.fingerprint import difference, fingerprint
from tests.chaos.processes import environment
from tests.chaos.rank_fault import FAULT, FIRED

STEPS_PER_EPOCH = 12
SAVE_INTERVAL = 4  # optimizer steps
MARK = "DLPLUG_CHAOS_FOLDER"
PATIENCE = 120  # seconds after which a process counts as left behind
CONFIG = f"""
seed_everything: 5
name: two
architecture: {{name: mlp, hidden: [32], dropout: 0.2}}
optimizer: {{name: adamw, lr: 3.0e-3}}
scheduler: {{name: warmup_cosine, warmup: 0.1}}
data: {{name: digits, batch_size: 16, num_workers: 1}}
callbacks:
- {{name: ema, decay: 0.9}}
- {{name: checkpoint, every_n_steps: {SAVE_INTERVAL}}}
- {{name: heartbeat, silence: 8, stall: 8}}
- class_path: tests.chaos.rank_fault.RankFault
trainer:
  max_epochs: 2
  limit_train_batches: {STEPS_PER_EPOCH}
  limit_val_batches: 2
  accelerator: cpu
  devices: 2
"""
LIGHTNING = [sys.executable, "-m", "dlplug"]
TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"),
    *("--max-restarts", "1", "-m", "dlplug"),
]


@dataclass(frozen=True)
class End:
    """How a training ended.

    Args:
        code: Of the process that was started.
        output: Of all processes.
        seconds: From the fault to the end of the last process; None without a fault.
        left: Numbers of processes that had not ended after `PATIENCE`.
    """

    code: int
    output: str
    seconds: float | None
    left: list[int]

    def names(self, rank: int) -> bool:
        """Whether it says which process was lost, and on which machine."""
        return f"ProcessLostError: process {rank} of 2 (host {socket.gethostname()}," in self.output


def train(folder: Path, launcher: list[str], fault: str | None = None) -> End:
    """Train, or go on, in a folder.

    Args:
        folder: In which nobody else trains.
        launcher: `LIGHTNING` or `TORCHRUN`.
        fault: Rank, step and how, as `RankFault` reads them.
    """
    folder.mkdir(exist_ok=True)
    (folder / "two.yaml").write_text(CONFIG)
    trust = ["--trust", "tests.chaos.rank_fault"]
    command = [*launcher, "fit", "--config", "two.yaml", "--resume", "auto", *trust]
    surroundings = environment(folder / "cache") | {MARK: str(folder)}
    surroundings |= {FAULT: fault} if fault else {}
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "WORLD_SIZE"):
        surroundings.pop(name, None)
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=surroundings, stdout=output, stderr=output
        )
        code = process.wait()
        left = wait_for_all(folder)
    fired = folder / FIRED
    seconds = time.time() - float(fired.read_text()) if fault and fired.exists() else None
    return End(code, (folder / "output.txt").read_text(), seconds, left)


def wait_for_all(folder: Path) -> list[int]:
    """Wait for the end of every process that was started for a folder, loader workers too.

    Returns:
        Numbers of those that do not end; they are killed.
    """
    end = time.monotonic() + PATIENCE
    while processes := processes_of(folder):
        for pid in processes:
            if not _ended(pid, end - time.monotonic()):
                for left in processes:
                    os.kill(left, 9)
                return processes
    return []


def processes_of(folder: Path) -> list[int]:
    """All processes that inherited the mark of a folder."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_one = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has just ended, or is somebody else's
            continue
        if is_one:
            found.append(int(entry.name))
    return found


def run_in(folder: Path) -> Run:
    """The only run of a folder."""
    (run,) = Run.of_name(folder / "runs", "two")
    return run


def is_intact(run: Run) -> bool:
    """Whether there is a checkpoint, at a step that is one, from which to go on."""
    step = read_checkpoint(run.last)["global_step"]
    return step % SAVE_INTERVAL == 0 or step % STEPS_PER_EPOCH == 0


def is_same(run: Run, other: Run) -> bool:
    """Whether two trainings ended with the same bits."""
    return not difference(fingerprint(run), fingerprint(other))


def _ended(pid: int, timeout: float) -> bool:
    """Wait for the end of a process, whosever child it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], max(0.0, timeout))[0])
    finally:
        os.close(handle)
