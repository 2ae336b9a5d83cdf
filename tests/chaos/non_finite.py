"""NaN and infinity in data, layers, loss and gradients: no weight is ever anything but finite.

Each fault must leave weights, buffers and the optimizer's state bit by bit as they were before its
step. After the single ones come more in a row than are allowed, which must end the run with an
error and the last good state on the disk; with many faults, one of them is in one of two processes.
"""

import math
from pathlib import Path

import lightning
import torch
from torch import Tensor

from dlplug import config
from dlplug.errors import RunError
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests.chaos.outcome import Outcome
from tests.chaos.script import answers

CONFIG = """
seed_everything: 3
name: faults
architecture: {name: resnet, widths: [8], depths: [1]}
optimizer: {name: adamw, lr: 0.003}
data: {name: digits, batch_size: 16}
trainer: {max_epochs: 2, limit_train_batches: 75, limit_val_batches: 1, accelerator: cpu}
"""
PLACES = ("data", "layer", "loss", "gradient")
VALUES = (math.nan, math.inf)
FIRST, APART, PER_RUN = 5, 3, 40  # batches
LIMIT = 10  # of `FiniteSteps`
MANY = 20
"""Faults from which on one is injected into two processes, which takes ten seconds and more."""


class Faults(lightning.Callback):
    """Inject a fault into some batches, and compare the state before and after each batch.

    Args:
        faults: Number of the batch in the training, and what is put where.
    """

    def __init__(self, faults: dict[int, tuple[str, float]]):
        self.faults = faults
        self.seen = -1
        self.fired = 0
        self.unchanged = 0
        self.is_always_finite = True
        self._handles: list = []
        self._before: list[Tensor] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Spoil the batch, or have the layer or the loss spoiled."""
        self.seen += 1
        self._before = [tensor.clone() for tensor in _state(trainer, pl_module)]
        place, value = self.faults.get(self.seen, ("", 0.0))
        if place == "data":
            batch[0][3, 0, 2, 2] = value
            self.fired += 1
        elif place in ("layer", "loss"):
            module = pl_module.loss if place == "loss" else pl_module.architecture

            def spoil(module, inputs, output):
                self.fired += 1
                self._handles.pop().remove()  # once: the search for its origin repeats the step
                return output * value

            self._handles = [module.register_forward_hook(spoil)]

    def on_after_backward(self, trainer, pl_module) -> None:
        """Spoil a gradient."""
        place, value = self.faults.get(self.seen, ("", 0.0))
        if place == "gradient":
            next(iter(pl_module.architecture.parameters())).grad.view(-1)[0] = value
            self.fired += 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Compare."""
        after = _state(trainer, pl_module)
        self.is_always_finite &= all(bool(t.isfinite().all()) for t in after)
        is_same = len(after) == len(self._before) and all(
            torch.equal(a, b) for a, b in zip(after, self._before, strict=True)
        )
        self.unchanged += is_same and self.seen in self.faults


def inject(count: int, folder: Path) -> Outcome:
    """Inject ``count`` faults, one at a time, then too many in a row.

    Args:
        count: How many.
        folder: Empty.
    """
    path = folder / "faults.yaml"
    path.write_text(CONFIG)
    injected = contained = 0
    in_two = _in_two_processes(path, folder / "two") if count >= MANY else None
    single = count - (in_two is not None)
    measured: dict[str, float | int | str] = {"runs with weights that are not finite": 0}
    for start in range(0, single, PER_RUN):
        chosen = range(start, min(single, start + PER_RUN))
        faults = {FIRST + APART * (n - start): (PLACES[n % 4], VALUES[n // 4 % 2]) for n in chosen}
        callback = Faults(faults)
        _fit(path, folder / str(start), callback)
        injected += callback.fired
        if callback.is_always_finite:
            contained += callback.unchanged
        else:
            measured["runs with weights that are not finite"] += 1
    if in_two is not None:
        injected, contained = injected + 1, contained + in_two
    measured["too many in a row"] = _too_many(path, folder / "row")
    if measured["too many in a row"] != "ended with the last good state":
        contained = 0
    return Outcome(injected, contained, measured)


def _too_many(path: Path, root: Path) -> str:
    """What became of a run with one step more in a row than are allowed, in its second epoch."""
    row = range(80, 80 + LIMIT + 1)
    callback = Faults({batch: (PLACES[batch % 4], math.nan) for batch in row})
    try:
        _fit(path, root, callback)
    except RunError as error:
        code = error.exit_code
    else:
        return "the run went on"
    run = Run.find("faults", root)
    content = torch.load(run.last, weights_only=True)
    tensors = [*content["state_dict"].values(), *callback._before]
    if not callback.is_always_finite or not all(bool(t.isfinite().all()) for t in tensors):
        return "weights are not finite"
    is_right = code != 0 and run.status["status"] == "failed" and callback.fired == LIMIT + 1
    is_good = content["global_step"] == 75 and callback.unchanged == LIMIT
    return "ended with the last good state" if is_right and is_good else "ended otherwise"


IN_TWO = """
import json
from dlplug import config
from dlplug.run import verbs
from tests.chaos.non_finite import Faults, _fit, with_callback
experiment = config.load([{path!r}], [("trainer.devices", "2"), ("trainer.max_epochs", "1"),
                                      ("trainer.limit_train_batches", "8")])
import torch
callback = Faults({{}})
with_callback(experiment, callback)
build = callback.on_train_batch_start
def start(trainer, *arguments):
    callback.faults = {{5: ("data", float("nan"))}} if trainer.global_rank == 1 else {{}}
    build(trainer, *arguments)
    callback.faults = {{5: ("", 0.0)}}
callback.on_train_batch_start = start
result = verbs.fit(experiment, root={folder!r}, progress=False)
print(json.dumps([result.is_main, callback.fired, callback.unchanged, callback.is_always_finite]))
"""


def _in_two_processes(path: Path, root: Path) -> bool:
    """Whether a bad record in the second process leaves the state of both as it was."""
    root.mkdir()
    found = answers(IN_TWO.format(path=str(path), folder=str(root)), root)
    # The second process has the record, both leave the step out.
    return found == [[False, 1, 1, True], [True, 0, 1, True]]


def with_callback(experiment, callback: lightning.Callback) -> None:
    """Have a callback called before all others of an experiment."""
    build = experiment.build_callbacks
    experiment.build_callbacks = lambda: [callback, *build()]


def _fit(path: Path, root: Path, callback: lightning.Callback) -> None:
    experiment = config.load([path])
    with_callback(experiment, callback)
    verbs.fit(experiment, root=root, progress=False)


def _state(trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> list[Tensor]:
    states = trainer.optimizers[0].state_dict()["state"].values()
    moments = [value for state in states for value in state.values() if torch.is_tensor(value)]
    return [*pl_module.architecture.state_dict().values(), *moments]
