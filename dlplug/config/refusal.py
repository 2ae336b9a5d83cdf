"""Components that refuse their arguments: the error names the component and its place."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlplug.errors import DataError, DlplugError, InvalidValueError, PluginError

if TYPE_CHECKING:
    from torch import nn

# Longer than any warm-up that is meant; the real number is known when the training starts.
ENOUGH_STEPS = 10**9


@dataclass(frozen=True)
class Culprit:
    """Whom an error names: ``loss 'dice'``, its provider, its place, how to list its arguments."""

    label: str
    provider: str
    where: str
    fix: str


class PartialComponent(functools.partial):
    """An optimizer or scheduler with its arguments from the config, called during the run.

    A ``functools.partial`` that names the component when it refuses the values. It is picklable.
    """

    culprit: Culprit

    def __call__(self, *args: object, **kwargs: object) -> object:
        with refusals_named(self.culprit):
            return super().__call__(*args, **kwargs)


@contextmanager
def refusals_named(culprit: Culprit) -> Iterator[None]:
    """Turn an exception by which a component refuses its arguments into one the user can act on.

    Only the kinds of exception by which libraries refuse values, raised while building; anything
    else is a bug and keeps its traceback.
    """
    try:
        yield
    except DlplugError as error:
        error.where = error.where or culprit.where
        raise
    except OSError as error:
        raise DataError(
            f"{culprit.label} cannot read what it needs: {error}", where=culprit.where
        ) from error
    except ImportError as error:
        raise PluginError(
            f"{culprit.label} of {culprit.provider} lacks a package: {error}",
            where=culprit.where,
            fix="install it",
        ) from error
    except (TypeError, ValueError, AssertionError) as error:
        raise InvalidValueError(
            f"{culprit.label} refuses its arguments: {type(error).__name__}: {error}",
            where=culprit.where,
            fix=culprit.fix,
        ) from error


def try_optimizer(
    architecture: "nn.Module", optimizer: Callable, scheduler: Callable | None = None
) -> None:
    """Make the optimizer and its schedule once and throw them away: bad values show before a run.

    Args:
        architecture: Whose parameters are used; nothing is tried when it has none yet.
        optimizer: ``optimizer(parameters)``.
        scheduler: ``scheduler(optimizer[, total_steps=...])``, or None.
    Raises:
        DlplugError: One of them refuses its arguments.
    """
    from torch.nn.parameter import is_lazy

    parameters = list(architecture.parameters())
    if not parameters or any(is_lazy(parameter) for parameter in parameters):
        return
    made = optimizer(parameters)
    if scheduler is None:
        return
    takes_steps = "total_steps" in inspect.signature(scheduler).parameters
    is_told = "total_steps" in getattr(scheduler, "keywords", {})
    scheduler(made, **({"total_steps": ENOUGH_STEPS} if takes_steps and not is_told else {}))
