"""Trainings in several processes, all of them forked from one that has imported everything.

Usage: rank_jobs.py ROOT CONFIG GROUPS, GROUPS being JSON: a list of [number of processes, list of
the keyword arguments of `run_job`]. Prints a JSON list of each group's exit codes.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests import forked
from tests.meeting import meeting, own

REPOSITORY = Path(__file__).parents[2]


def run_groups(root: Path, config: Path, groups: list) -> list[list[int]]:
    """Run one group after the other; returns the exit codes of the processes of each."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    with ExitStack() as stack:
        # One for each job: in a second group, a process would find the addresses of the first.
        placed = [
            [ranks, [job | {"place": stack.enter_context(meeting(ranks))} for job in jobs]]
            for ranks, jobs in groups
        ]
        done = subprocess.run(
            [forked.python(), "-W", "error", __file__, str(root), str(config), json.dumps(placed)],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes and codes[0] == [0] * groups[0][0], done.stderr
    return codes


def run_job(
    root: str,
    config: str,
    ranks: int,
    rank: int,
    place: dict[str, str],
    name: str,
    strategy: str,
    epochs: int,
    ckpt_path: str | None = None,
    taken_up: str | None = None,
    kill_rank: int | None = None,
) -> None:
    """Train with 48 records a step, however many processes share them.

    Args:
        root: Under which the runs stand.
        config: File.
        ranks: Number of processes.
        rank: Which of them this is.
        place: Where they meet.
        name: Of the run.
        strategy: Of Lightning.
        epochs: Of the whole training.
        ckpt_path: Where a new run goes on; None to go on with the run of that name, if any.
        taken_up: Checkpoint of the state before the first batch.
        kill_rank: The process that kills itself before it writes its part of the second
            ``last.ckpt``.
    """
    os.environ |= place | own(rank)
    from lightning.pytorch.callbacks import Callback

    import dlplug.run.sharded_saving as saving
    from dlplug import config as configs
    from dlplug.run import verbs

    class TakenUp(Callback):
        def on_train_start(self, trainer, pl_module):
            self.is_wanted = taken_up is not None

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if self.is_wanted:
                self.is_wanted = False
                trainer.save_checkpoint(taken_up)

    values = {
        "data.batch_size": 48 // ranks,
        "trainer.devices": ranks,
        "trainer.strategy": strategy,
        "trainer.max_epochs": epochs,
    }
    experiment = configs.load([config], [(key, str(value)) for key, value in values.items()])
    build = experiment.build_callbacks
    experiment.build_callbacks = lambda: [*build(), TakenUp()]
    if kill_rank == rank:
        write, written = saving.write_part, []

        def write_or_die(folder, *arguments):
            written.append(folder.name.startswith(".last.ckpt."))
            if sum(written) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(folder, *arguments)

        saving.write_part = write_or_die
    resume = None if ckpt_path else "auto"
    arguments = {"resume": resume, "ckpt_path": ckpt_path, "progress": False}
    verbs.fit(experiment, root=root, name=name, **arguments)


def _fork(root: str, config: str, ranks: int, jobs: list[dict]) -> list[int]:
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            for job in jobs:
                run_job(root, config, ranks, rank, **job)
            sys.exit()
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    for module in ("dlplug.run.verbs", "matplotlib.pyplot", "sklearn.datasets"):
        importlib.import_module(module)
    codes = []
    for ranks, jobs in json.loads(sys.argv[3]):
        codes.append(_fork(*sys.argv[1:3], ranks, jobs))
    print(json.dumps(codes))
