"""The ``trainer`` slot: arguments of Lightning's Trainer, typed from its signature."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dlplug.config.hardware import check_hardware
from dlplug.config.parameters import Parameter, parameters_of
from dlplug.config.slots import DEFAULT_MAX_EPOCHS, LENGTHS
from dlplug.config.tree import Node
from dlplug.config.trust import Trust
from dlplug.config.values import NOT_PLAIN, Value, check, check_default
from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion

# What has a place of its own, and how to set it there.
ELSEWHERE = {
    "callbacks": "the config's key callbacks, for example --callbacks+ early_stopping",
    "logger": "the config's key loggers, for example --loggers+ csv",
    "default_root_dir": "--name, which puts the run under runs/<name>/",
}
# Lightning's own text names a default that does not hold here.
MAX_EPOCHS = (
    f"Stop after this number of epochs; -1 for no end. {DEFAULT_MAX_EPOCHS} when none of "
    f"{', '.join(LENGTHS)} is set."
)
# Lightning divides by them; with a number of batches below 0 it trains away from the minimum.
ABOVE_0 = {
    "accumulate_grad_batches": "1 or more batches for a step; 1 for each",
    "check_val_every_n_epoch": "1 or more epochs; null to count batches across epochs",
    "val_check_interval": "1 or more batches, a share of an epoch up to 1.0, or a time",
}


@dataclass(frozen=True)
class TrainerConfig:
    """The Trainer's arguments.

    Attributes:
        values: Those that are set, checked.
        plain: All of them as plain data, defaults included, as the signature orders them.
    """

    values: dict[str, Value]
    plain: dict[str, object]

    def arguments(self) -> dict[str, object]:
        """Keyword arguments for ``lightning.Trainer``; strategies and plugins are built anew."""
        return {name: value.make() for name, value in self.values.items()}


def trainer_parameters() -> list[Parameter]:
    """What the ``trainer`` slot takes."""
    from lightning.pytorch import Trainer

    parameters = parameters_of(Trainer, skip=ELSEWHERE)
    return [replace(p, doc=MAX_EPOCHS) if p.name == "max_epochs" else p for p in parameters]


def resolve_trainer(
    node: Node | None, trust: Trust, where: Callable[[str], str], one_device: bool = False
) -> TrainerConfig:
    """Check the ``trainer`` section, against Lightning's types and this machine.

    Args:
        node: The section; None or null for all defaults.
        trust: What nested class paths may import.
        where: Gives file and line of a dotted key.
        one_device: See `check_hardware`.
    Raises:
        UnknownKeyError: Not an argument of the Trainer.
        InvalidValueError: Of another type, or not possible on this machine.
    """
    parameters = {parameter.name: parameter for parameter in trainer_parameters()}
    values = check_trainer(node, trust, parameters)
    defaults = {name: check_default(parameter).plain for name, parameter in parameters.items()}
    # A length that is spelt out as its default (`max_steps: -1`) sets none.
    if all(values[name].plain == defaults[name] for name in LENGTHS if name in values):
        values["max_epochs"] = Value(DEFAULT_MAX_EPOCHS, lambda: DEFAULT_MAX_EPOCHS)
    plain = {}
    for name, default in defaults.items():
        plain[name] = values[name].plain if name in values else default
        if name in values and plain[name] == default:
            # Said as the default says it: what is not said can be decided by the run.
            del values[name]
    _check_clipping(plain["gradient_clip_val"], where)
    _check_above_0(plain, where)
    check_hardware(plain, where, one_device)
    return TrainerConfig(values, {k: v for k, v in plain.items() if v is not NOT_PLAIN})


def check_trainer(
    node: Node | None, trust: Trust, parameters: dict[str, Parameter]
) -> dict[str, Value]:
    """What the section sets, of Lightning's types; whether this machine can do it is not asked.

    Args:
        node: The section; None or null for nothing.
        trust: What nested class paths may import.
        parameters: The Trainer's by name.
    Raises:
        UnknownKeyError: Not an argument of the Trainer.
        InvalidValueError: Of another type.
    """
    given = _section(node)
    for name, value in given.items():
        if name not in parameters:
            raise _unknown(str(name), value, parameters)
    return {
        name: check(parameters[name], value, f"trainer.{name}", trust)
        for name, value in given.items()
    }


def _check_clipping(value: object, where: Callable[[str], str]) -> None:
    """A limit of NaN would make every gradient NaN, in silence."""
    if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
        raise InvalidValueError(
            f"trainer.gradient_clip_val = {value} is no limit",
            where=where("trainer.gradient_clip_val"),
            known="numbers above 0; 0 or null, with which nothing is clipped",
            fix="set it above 0, such as 1.0, or delete it",
        )


def _check_above_0(plain: Mapping[str, object], where: Callable[[str], str]) -> None:
    for name, known in ABOVE_0.items():
        value = plain[name]
        if isinstance(value, (int, float)) and not value > 0:
            raise InvalidValueError(
                f"trainer.{name} = {value} is not above 0",
                where=where(f"trainer.{name}"),
                known=known,
                fix="set it above 0, or delete it",
            )


def _section(node: Node | None) -> dict[str, Node]:
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        raise InvalidValueError(
            f"trainer must be a mapping of the Trainer's arguments, got {node.plain()!r}",
            where=f"{node.origin}, trainer",
            fix="write 'trainer: {max_epochs: 20}'",
        )
    return node.value


def _unknown(name: str, node: Node, parameters: dict[str, Parameter]) -> UnknownKeyError:
    fix = f"use {ELSEWHERE[name]}" if name in ELSEWHERE else suggestion(name, parameters)
    return UnknownKeyError(
        f"the trainer has no argument '{name}'",
        where=f"{node.origin}, trainer.{name}",
        known=", ".join(parameters),
        fix=fix or "list them: python -m dlplug fit --trainer.help",
    )
