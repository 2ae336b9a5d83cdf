"""kill -9 at a random moment: the training that goes on ends with the bits of an undisturbed one.

Dropout, EMA, accumulated gradients, warm-up and cosine; 0 and 2 loader workers in turn. No kill
loses more steps than lie between two saves, but for those taken while a save was under way.
"""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from dlplug.run.folder import Run
from tests.chaos.fingerprint import difference, fingerprint
from tests.chaos.killing import SHARES, Kill, kill_training
from tests.chaos.outcome import Outcome
from tests.chaos.processes import environment
from tests.chaos.progress import report

SAVE_INTERVAL = 5  # optimizer steps; an epoch has 20, and a validation after every 10
STEPS = 160
CONFIG = f"""
seed_everything: 5
name: killed
architecture: {{name: mlp, hidden: [32], dropout: 0.2}}
optimizer: {{name: adamw, lr: 3.0e-3}}
scheduler: {{name: warmup_cosine, warmup: 0.1}}
data: {{name: digits, batch_size: 32}}
callbacks:
- {{name: ema, decay: 0.95}}
- {{name: checkpoint, every_n_steps: {SAVE_INTERVAL}}}
- class_path: tests.chaos.journal.Journal
trainer:
  max_epochs: 8
  accumulate_grad_batches: 2
  val_check_interval: 0.5
  log_every_n_steps: 1
  accelerator: cpu
"""
NUM_WORKERS = (0, 2)
KILLS_PER_TRAINING = (2, 3)


def inject(count: int, folder: Path) -> Outcome:
    """Kill trainings ``count`` times: the first half with 0, the second with 2 loader workers.

    The trainings are forked from a process that has imported everything, and must end with the bits
    of one that nobody disturbs; the first of those is started as a user starts it.
    """
    randomness = random.Random(count)
    kills: list[Kill] = []
    differences: set[str] = set()
    contained = num_trainings = 0
    cache = folder / "cache"
    for index, num_workers in enumerate(NUM_WORKERS):
        whole = folder / f"whole-{num_workers}"
        expected = undisturbed(whole, num_workers, cache, is_fresh=index == 0)
        goal = len(kills) + (count + 1 - index) // 2
        while len(kills) < goal:
            num_trainings += 1
            place = folder / f"killed-{num_trainings}"
            arguments = prepare(place, num_workers)
            planned = min(goal - len(kills), randomness.choice(KILLS_PER_TRAINING))
            fired = kill_training(arguments, place, cache, planned, STEPS, randomness)
            found = difference(fingerprint(newest(place)), expected)
            contained += sum(not found and is_cheap(kill) for kill in fired)
            kills += fired
            differences.update(found)
            report(len(kills))
    phases = Counter(kill.phase for kill in kills)
    measured = {f"kills in {phase}": phases[phase] for phase in SHARES}
    measured |= {
        "trainings": num_trainings,
        "steps between saves": SAVE_INTERVAL,
        "lost steps at most": max(kill.lost for kill in kills),
        "but for those during a save": max(0, *(kill.lost - kill.unsettled for kill in kills)),
    }
    if differences:
        measured["differing"] = ", ".join(sorted(differences))
    return Outcome(len(kills), contained, measured)


def is_cheap(kill: Kill) -> bool:
    """Whether no more steps were lost than lie between two saves, but for those during a save."""
    return kill.lost <= SAVE_INTERVAL + kill.unsettled


def prepare(folder: Path, num_workers: int) -> list[str]:
    """Write the config into a new folder; returns the arguments of ``dlplug`` to train there."""
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    trust = ["--trust", "tests.chaos.journal"]
    workers = ["--data.num_workers", str(num_workers)]
    return ["fit", "--config", "config.yaml", "--resume", "auto", *trust, *workers]


def undisturbed(folder: Path, num_workers: int, cache: Path, is_fresh: bool) -> dict[str, str]:
    """Train without a kill; returns the fingerprint.

    Args:
        folder: New.
        num_workers: Of the loader.
        cache: Folder for what trainings remember.
        is_fresh: In a process of its own, with the command of a user, instead of a forked one.
    """
    arguments = prepare(folder, num_workers)
    if is_fresh:
        subprocess.run(
            [sys.executable, "-m", "dlplug", *arguments],
            cwd=folder,
            env=environment(cache),
            capture_output=True,
            check=True,
        )
    else:
        kill_training(arguments, folder, cache, 0, STEPS, random.Random())
    return fingerprint(newest(folder))


def newest(folder: Path) -> Run:
    """The run that was trained last in a folder."""
    return Run.find("killed", folder / "runs")
