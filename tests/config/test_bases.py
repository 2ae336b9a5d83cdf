"""The base classes."""

import inspect

from torch import nn

from dlplug.config.bases import BASES, PARTS, base_class, load_class
from dlplug.plugin import KINDS


def test_every_kind_has_a_base_class():
    """Except commands, which are functions of plugins."""
    assert set(BASES) == set(KINDS) - {"commands"}
    assert base_class("architectures") is nn.Module


def test_every_base_is_a_class():
    """Each stands where its string says, in the installed versions."""
    assert all(inspect.isclass(load_class(target)) for target in (*BASES.values(), *PARTS))
