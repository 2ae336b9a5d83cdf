"""The table of built-in components is true."""

import inspect
from pathlib import Path

import pytest

from dlplug.plugin import CORE, KINDS, Registry, Status
from dlplug.plugin.builtins import TABLE, core_plugin

CALLBACKS = Path(__file__).parents[2] / "dlplug" / "callbacks"
ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.kind}-{row.name}")


@ROWS
def test_a_row_is_well_formed(row):
    """Each row has a known kind and a summary of one sentence."""
    assert row.kind in KINDS
    assert row.summary.endswith(".") and len(row.summary) <= 60


def test_names_are_unique_within_a_kind():
    """No built-in component hides another."""
    assert len({(row.kind, row.name) for row in TABLE}) == len(TABLE)


def test_the_files_of_the_callbacks_are_the_components():
    """``ls dlplug/callbacks`` tells what a config can name; what they are made of is in folders."""
    modules = {row.target.partition(":")[0] for row in TABLE if row.kind == "callbacks"}
    files = {path.stem for path in CALLBACKS.glob("*.py")} - {"__init__"}
    assert files == {module.removeprefix("dlplug.callbacks.") for module in modules}


@ROWS
def test_a_built_in_component_loads(row):
    """Each target exists and is a class or function with a docstring."""
    table = Registry.discover(allow=[]).components(row.kind)
    component = next(c for c in table if c.id == f"{CORE}:{row.name}")
    if component.status is Status.MISSING_EXTRA:
        pytest.skip(component.reason)
    assert inspect.getdoc(component.load())
    assert component.status is Status.LOADED


def test_an_optional_library_that_is_missing_is_told(monkeypatch):
    """A built-in component that needs an absent library refuses, and that is no problem."""
    monkeypatch.setattr("dlplug.plugin.builtins.is_installed", lambda name: False)
    plugin = core_plugin()
    logger = next(entry for entry in plugin.entries if entry.name == "tensorboard")
    assert (logger.status, logger.reason) == (Status.MISSING_EXTRA, "not installed: tensorboard")
    assert logger.fix == "pip install tensorboard"
    assert not logger.is_problem
    assert plugin.status is Status.AVAILABLE


def test_either_of_two_libraries_will_do(monkeypatch):
    """``a|b`` is satisfied by ``b``."""
    monkeypatch.setattr("dlplug.plugin.builtins.is_installed", lambda name: name == "tensorboardX")
    logger = next(entry for entry in core_plugin().entries if entry.name == "tensorboard")
    assert logger.status is Status.AVAILABLE
