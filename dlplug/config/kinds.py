"""What sets the kinds of component apart: their classes, and how dlplug calls and fills them."""

import importlib
import inspect
from dataclasses import dataclass

from dlplug.plugin import KINDS


@dataclass(frozen=True)
class Traits:
    """How dlplug handles the components of one kind.

    Attributes:
        base: The class from which they descend, as ``module:name``: importing it takes seconds.
        passed_to_class: How many leading parameters of a class the run passes by position; when
            there are any, the object is made during the run.
        passed_to_function: The same for a function that is called during the run. Where functions
            do as well, objects need not descend from ``base``.
        supplied: Parameters that dlplug passes; no config sets them.
        known_later: Parameters that get their value during the run; a config may set them.
        is_filled: Their parameters may be facts about the data.
    """

    base: str
    passed_to_class: int = 0
    passed_to_function: int = 0
    supplied: tuple[str, ...] = ()
    known_later: tuple[str, ...] = ()
    is_filled: bool = False

    @property
    def base_class(self) -> type:
        """The class from which they descend, imported."""
        return load_class(self.base)

    @property
    def must_descend(self) -> bool:
        """Whether PyTorch or Lightning use the objects by their class."""
        return not self.passed_to_function

    def num_passed(self, target: object) -> int:
        """How many leading parameters of that class or function the run passes by position."""
        return self.passed_to_class if inspect.isclass(target) else self.passed_to_function


# By plural. Commands and presets are missing: no config builds them.
TRAITS: dict[str, Traits] = {
    "architectures": Traits("torch.nn:Module", is_filled=True),
    "losses": Traits("torch.nn:Module", passed_to_function=2, is_filled=True),
    "callbacks": Traits("lightning.pytorch:Callback"),
    "datamodules": Traits("lightning.pytorch:LightningDataModule"),
    "tasks": Traits(
        "lightning.pytorch:LightningModule",
        supplied=("architecture", "loss", "optimizer", "scheduler", "metrics", "data_spec"),
    ),
    "metrics": Traits("torchmetrics:Metric", is_filled=True),
    "optimizers": Traits("torch.optim:Optimizer", passed_to_class=1, passed_to_function=1),
    "schedulers": Traits(
        "torch.optim.lr_scheduler:LRScheduler",
        passed_to_class=1,
        passed_to_function=1,
        known_later=("total_steps",),
    ),
    "transforms": Traits("torch.nn:Module", passed_to_function=1),
    "loggers": Traits("lightning.pytorch.loggers:Logger", known_later=("save_dir",)),
}
# A key with one of these words holds a component (or a list of them), at any depth.
COMPONENT_WORDS: dict[str, str] = {
    word: plural for plural in TRAITS for word in (KINDS[plural].singular, plural)
}


def load_class(target: str) -> type:
    """The class that ``module:name`` means."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
