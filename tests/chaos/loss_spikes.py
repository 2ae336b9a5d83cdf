"""Poisoned records make the loss jump: the run goes back, skips them and ends as it would have.

Real digits, in some batches in a row with pixels inverted and ten thousand times as large. (Not
inverted, many are still told apart, and nothing spikes.) A spike is contained when the callback
went back exactly once for it, and the run ends near the undisturbed one.
"""

from pathlib import Path

import lightning

from dlplug import config
from dlplug.callbacks.rollback.record import FILE
from dlplug.errors import RunError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.storage.json_lines import read_rows
from tests.chaos.outcome import Outcome

CONFIG = """
seed_everything: 3
name: spikes
architecture: {name: mlp, hidden: [32]}
optimizer: {name: adamw, lr: 0.01}
scheduler: {name: warmup_cosine, warmup: 0.05}
data: {name: digits, batch_size: 32}
callbacks: [{name: checkpoint, every_n_steps: 5}]
trainer: {max_epochs: 6, accelerator: cpu}
"""
ROLLBACK = ("callbacks+", "[{name: spike_rollback, window: 20, patience: 2, limit: 100}]")
FIRST, APART, LENGTH = 42, 20, 3  # optimizer steps, counted from 1; 40 to an epoch
NEAR = 0.05


class Poison(lightning.Callback):
    """Spoil the pixels of the batches in which these steps are taken.

    Args:
        steps: Optimizer steps, counted from 1.
    """

    def __init__(self, steps: set[int]):
        self.steps = steps
        self.times = 0
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Poison the batch that is about to be trained on."""
        if trainer.global_step + 1 in self.steps:
            batch[0].mul_(-1e4)
            self.times += 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Look at what came of it."""
        if trainer.global_step in self.steps:
            self.losses.append(float(outputs["loss"]))


def inject(count: int, folder: Path) -> Outcome:
    """Train with ``count`` spikes, with and without the callback, and undisturbed.

    Args:
        count: Of spikes, ten to a training at most.
        folder: Empty.
    """
    path = folder / "spikes.yaml"
    path.write_text(CONFIG)
    injected = contained = 0
    good = _fit(path, folder / "good", set())[0]
    measured: dict[str, float] = {"val_loss undisturbed": good}
    for number in range(0, count, 9):
        spikes = range(min(9, count - number))
        # Another phase of the checkpoints in each training.
        first = FIRST + number // 9
        steps = {first + APART * spike + k for spike in spikes for k in range(LENGTH)}
        if number == 0:
            measured["val_loss without rollback"] = _fit(path, folder / "without", steps)[0]
        root = folder / str(number)
        ours, poison, rollbacks = _fit(path, root, steps, ROLLBACK)
        fired = [poison.losses[k : k + LENGTH] for k in range(0, len(poison.losses), LENGTH)]
        injected += sum(max(losses) > 100 for losses in fired)
        rows = read_rows(root / "spikes" / "1" / FILE)
        found = {row["first_bad_step"] for row in rows}
        expected = {first + APART * spike for spike in spikes}
        is_near = abs(ours - good) <= NEAR and rollbacks == len(rows) == len(spikes)
        contained += len(found & expected) if is_near else 0
        measured["val_loss with rollback"] = ours
        measured["lost steps per spike"] = sum(r["skipped_steps"] for r in rows) / max(len(rows), 1)
    return Outcome(injected, contained, measured)


def _fit(path: Path, root: Path, steps: set[int], *overrides) -> tuple[float, Poison, int | None]:
    experiment = config.load([path], list(overrides))
    poison, build = Poison(steps), experiment.build_callbacks
    experiment.build_callbacks = lambda: [poison, *build()]
    try:
        result = verbs.fit(experiment, root=root, progress=False)
    except RunError:
        return float("inf"), poison, None
    rows = [row for row in read_metrics(result.run / "metrics.jsonl") if "val_loss" in row]
    return rows[-1]["val_loss"], poison, result.rollbacks
