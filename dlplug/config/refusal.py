"""Components that refuse their arguments: the error names the component and its place."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlplug.errors import DataError, DlplugError, InvalidValueError, PluginError
from dlplug.plugin.failure import place_in
from dlplug.plugin.names import one_line

if TYPE_CHECKING:
    from torch import nn

# Longer than any warm-up that is meant; the real number is known when the training starts.
ENOUGH_STEPS = 10**9
INITIALISE = "call super().__init__() first in its __init__"


@dataclass(frozen=True)
class Culprit:
    """Whom an error names.

    Attributes:
        label: ``loss 'dice'``.
        provider: ``acme-losses 2.3``.
        where: Its place in the config.
        fix: How to list its arguments.
        blame: What to do where it fails for another reason.
        home: File or folder of its code, see `home_of`; empty where the place in it is not told.
    """

    label: str
    provider: str
    where: str
    fix: str
    blame: str = ""
    home: str = ""


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
    """Turn whatever a component raises while it is built into an error the user can act on.

    By TypeError, ValueError and assertions libraries refuse values; anything else is a fault of the
    component. ``--traceback`` shows all of it.
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
            f"{culprit.label} refuses its arguments: {_told(error, culprit)}",
            where=culprit.where,
            fix=culprit.fix,
        ) from error
    except Exception as error:
        raise PluginError(
            f"{culprit.label} of {culprit.provider} cannot be built: {_told(error, culprit)}",
            where=culprit.where,
            fix=f"{_remedy(error, culprit)}; --traceback shows all of it",
        ) from error


def require_initialised(made: object, culprit: Culprit) -> None:
    """The constructor of a module called that of its base.

    Without it a module that keeps numbers only is made, and fails wherever it is used.

    Raises:
        PluginError: it did not.
    """
    from torch import nn

    if isinstance(made, nn.Module) and "_modules" not in vars(made):
        raise PluginError(
            f"{culprit.label} of {culprit.provider} is not initialised as a module:"
            f" {type(made).__qualname__}.__init__ does not call its base's",
            where=culprit.where,
            fix=INITIALISE,
        )


def _told(error: Exception, culprit: Culprit) -> str:
    return f"{type(error).__name__}: {one_line(error)}{place_in(error, culprit.home)}"


def _remedy(error: Exception, culprit: Culprit) -> str:
    if isinstance(error, AttributeError) and "Module.__init__() call" in str(error):
        return INITIALISE
    return f"{culprit.fix}; if they are right, {culprit.blame}"


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
    parameters = list(architecture.parameters())
    if not parameters:
        return
    made = optimizer(parameters)
    if scheduler is None:
        return
    takes_steps = "total_steps" in inspect.signature(scheduler).parameters
    is_told = "total_steps" in getattr(scheduler, "keywords", {})
    scheduler(made, **({"total_steps": ENOUGH_STEPS} if takes_steps and not is_told else {}))
