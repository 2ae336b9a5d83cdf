"""Keep some of the weights as they are."""

from collections.abc import Iterable, Sequence

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlplug.callbacks.network.patterns import (
    architecture_of,
    check_patterns,
    matches,
    parameters_matching,
)
from dlplug.errors import InvalidValueError


class Freeze(Callback):
    """Train without some parameters; a BatchNorm among them uses its running statistics.

    With `Pretrained`, only a new head is trained, as a linear probe::

        callbacks:
          - {name: pretrained, checkpoint: runs/old/1, replace: [head]}
          - {name: freeze, parameters: ["*"], but: [head]}

    Args:
        parameters: Patterns (as in `fnmatch`) of names within the architecture: of parameters, or
            of modules, which stand for all their parameters.
        but: Patterns of what is trained nevertheless.
    Raises:
        InvalidValueError: no pattern; at the start of a training, a pattern that matches nothing,
            or nothing left to train.
    """

    def __init__(self, parameters: list[str], but: Sequence[str] = ()):
        self.parameters = check_patterns("freeze", parameters, "parameters")
        self.but = check_patterns("freeze", but, "but") if but else []
        self._norms: list[nn.Module] = []

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Freeze before the optimizer is built."""
        if stage != "fit":
            return
        network = architecture_of(pl_module)
        kept = {n for pattern in self.but for n in parameters_matching(network, pattern, "freeze")}
        for pattern in self.parameters:
            for name, parameter in parameters_matching(network, pattern, "freeze").items():
                if name not in kept:
                    parameter.requires_grad_(False)
        check_anything_left(pl_module, "freeze")
        self._norms = [
            module
            for name, module in network.named_modules()
            if isinstance(module, _BatchNorm)
            and any(matches(name, pattern) for pattern in self.parameters)
            and not any(matches(name, pattern) for pattern in self.but)
        ]

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Whatever has set the modes since."""
        evaluate(self._norms)


def check_anything_left(task: nn.Module, callback: str) -> None:
    """Some parameter is trained.

    Raises:
        InvalidValueError: all are frozen.
    """
    if not any(parameter.requires_grad for parameter in task.parameters()):
        raise InvalidValueError(
            f"{callback}: every parameter is frozen", fix=f"leave something out of {callback}"
        )


def evaluate(modules: Iterable[nn.Module]) -> None:
    """Take and keep the statistics that the modules have."""
    for module in modules:
        module.eval()
