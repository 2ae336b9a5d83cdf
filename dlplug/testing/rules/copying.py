"""Objects can be copied, sent to other processes, saved and loaded."""

import copy
import functools
import pickle
from typing import Any

import torch
from torch import nn

from dlplug.testing.rule import Broken, DoesNotApply, rule
from dlplug.testing.subject import Subject

COPIED = ("architectures", "losses", "metrics", "transforms", "datamodules", "callbacks")
WITH_STATE = ("architectures", "losses", "metrics", "callbacks")


@rule(
    kinds=COPIED,
    proves="copy.deepcopy gives an equal object, as moving averages of weights need",
    fix="keep no open file, lock, generator or tensor with a gradient history as an attribute",
)
def can_be_copied(subject: Subject) -> None:
    original = subject.build()
    check_same("a deep copy", copy.deepcopy(original), original)


@rule(
    kinds=COPIED,
    proves="pickle gives an equal object, as processes that read data or train need",
    fix="keep no lambda, local function, open file or lock as an attribute: functions and classes"
    " must stand at the top of a module",
)
def can_be_pickled(subject: Subject) -> None:
    original = subject.build()
    check_same("a pickled copy", pickle.loads(pickle.dumps(original)), original)


@rule(
    kinds=WITH_STATE,
    proves="another object with its state_dict is equal to it",
    fix="let everything that is learned be a parameter or a buffer, and load_state_dict take what"
    " state_dict gives",
)
def survives_its_state_dict(subject: Subject) -> None:
    original, other = subject.build(), subject.build()
    if not hasattr(original, "state_dict"):
        raise DoesNotApply("it has no state")
    for parameter in other.parameters() if isinstance(other, nn.Module) else ():
        nn.init.constant_(parameter, 0.5)
    other.load_state_dict(copy.deepcopy(original.state_dict()))
    check_same("an object with its state_dict", other, original)


def check_same(what: str, found: Any, original: Any) -> None:
    """Raise Broken if the state of two objects differs.

    What has no state, such as a function with its arguments, only has to be of one type.
    """
    if type(found) is not type(original):
        raise Broken(f"{what} is a {type(found).__name__}")
    if isinstance(original, functools.partial) or not hasattr(original, "state_dict"):
        return
    try:
        torch.testing.assert_close(
            found.state_dict(), original.state_dict(), rtol=0, atol=0, equal_nan=True
        )
    except AssertionError as error:
        raise Broken(f"{what} differs: {' '.join(str(error).split())}") from None
