"""Defaults of tasks, read without importing them."""

import importlib
import sys

import pytest

from dlplug.config.task_defaults import declared_defaults
from dlplug.plugin.builtins import TABLE

TASKS = [row.target for row in TABLE if row.kind == "tasks"]


@pytest.mark.parametrize("target", TASKS)
def test_the_source_says_what_the_class_says(target):
    """For every built-in task that has defaults of its own."""
    module, _, name = target.partition(":")
    task = getattr(importlib.import_module(module), name)
    assert declared_defaults(target) == dict(vars(task).get("slot_defaults", {}))


def test_what_cannot_be_read_has_no_defaults(fake_distribution):
    """A missing module or class, a syntax error, a value that is computed."""
    fake_distribution(
        "acme",
        modules={
            "acme_wrong": "class",
            "acme_computed": "class Task:\n    slot_defaults = dict(loss='mse')\n",
            "acme_other": "class Task:\n    slot_defaults: dict = {'loss': 'mse'}\n",
        },
    )
    for target in ("acme_wrong:Task", "acme_computed:Task", "acme_none:Task", "acme_other:T", ""):
        assert declared_defaults(target) == {}
    assert declared_defaults("acme_other:Task") == {"loss": "mse"}
    assert not [name for name in sys.modules if name.startswith("acme_")]
