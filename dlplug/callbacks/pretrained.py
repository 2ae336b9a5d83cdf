"""Start from the weights of another training."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dlplug.callbacks.network.patterns import check_patterns, matches
from dlplug.errors import CheckpointError, InvalidValueError, RunError, suggestion
from dlplug.storage.checkpoint import BEST, LAST, read_checkpoint
from dlplug.storage.runs import find_run
from dlplug.storage.sharded import INDEX

PREFIX = "architecture."


class Pretrained(Callback):
    """Load another training's weights, except for parts that are to be learned anew.

    Everything of the architecture is taken from the checkpoint but what ``replace`` matches; a line
    on standard error says what was loaded and what was left. With a checkpoint of ``ema`` or
    ``swa`` these are the averages. A resumed training loads nothing: it has weights of its own. ::

        callbacks: [{name: pretrained, checkpoint: runs/mnist_vit/1, replace: [head]}]

    Args:
        checkpoint: A file or a folder of shards; or a run, ``runs/NAME/NUMBER`` or NAME for the
            newest in ``runs``, of which the best checkpoint is taken, as with ``--run``.
        replace: Patterns (as in `fnmatch`) of parameters or modules of the architecture that stay
            as they were initialised; the checkpoint may lack them, or have them in other shapes.
    Raises:
        InvalidValueError: a value out of range; a pattern that matches nothing.
        RunError: there is no such file or run.
        CheckpointError: the checkpoint is damaged, or does not fit.
    """

    # Before anything that averages or freezes the weights.
    order = -10

    def __init__(self, checkpoint: str, replace: Sequence[str] = ()):
        if not checkpoint:
            raise InvalidValueError("pretrained: checkpoint is empty", known="a file, or a run")
        self.checkpoint = os.fspath(checkpoint)
        self.replace = check_patterns("pretrained", replace, "replace") if replace else []

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Load before the optimizer is built and anything is written."""
        if stage != "fit":
            return
        path = find(self.checkpoint)
        network = getattr(pl_module, "architecture", pl_module)
        prefix = "" if network is pl_module else PREFIX
        weights = read_checkpoint(path)["state_dict"]
        found = {n[len(prefix) :]: t for n, t in weights.items() if n.startswith(prefix)}
        fresh = self._fit(found, network.state_dict(), path)
        network.load_state_dict({n: t for n, t in found.items() if n not in fresh}, strict=False)
        if trainer.is_global_zero:
            names = sorted(network.state_dict().keys() & fresh)
            left = f"; left as initialised: {', '.join(names)}" if names else ""
            loaded = len(network.state_dict()) - len(names)
            print(f"{loaded} tensors are loaded from {path}{left}", file=sys.stderr)

    def _fit(self, found: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> set[str]:
        """The names that are not loaded.

        Raises:
            DlplugError: a pattern or a tensor does not fit.
        """
        for pattern in self.replace:
            if not any(matches(name, pattern) for name in expected):
                raise InvalidValueError(
                    f"pretrained: nothing in the architecture is named {pattern!r}",
                    fix=suggestion(pattern, [*expected, *{n.partition(".")[0] for n in expected}]),
                )
        fresh = {n for n in {*expected, *found} if any(matches(n, p) for p in self.replace)}
        missing = expected.keys() - found.keys() - fresh
        unknown = found.keys() - expected.keys() - fresh
        problems = [f"the checkpoint lacks {name!r}" for name in missing]
        problems += [f"the network lacks {name!r}" for name in unknown]
        problems += [
            f"{name!r} is {tuple(found[name].shape)} there and {tuple(expected[name].shape)} here"
            for name in (found.keys() & expected.keys()) - fresh
            if found[name].shape != expected[name].shape
        ]
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise CheckpointError(
                f"pretrained: {min(problems)}{more}",
                where=str(path),
                fix="name what is to be learned anew in replace, such as replace: [head]",
            )
        return fresh


def find(text: str) -> Path:
    """The checkpoint that ``text`` means: a file, or the best or last one of a run.

    Raises:
        RunError: there is no such file or run.
        CheckpointError: the run has no checkpoint.
    """
    path = Path(text)
    if path.is_file() or (path / INDEX).is_file():
        return path
    try:
        run = find_run(text)
    except RunError as error:
        raise RunError(
            f"pretrained: checkpoint = {text!r} is no file, and {error.what}",
            where=error.where,
            known=error.known,
            fix=error.fix,
        ) from None
    found = [run / "checkpoints" / name for name in (BEST, LAST)]
    path = next((path for path in found if path.exists()), None)
    if path is None:
        raise CheckpointError(
            f"pretrained: the run {text} has no checkpoint yet",
            where=str(run),
            fix="give an older run of that name, or a file",
        )
    return path
