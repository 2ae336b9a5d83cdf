"""The package as it is installed."""

import importlib
import re
from pathlib import Path

import pytest

from dlplug.config.document import load_file

ROOT = Path(__file__).parents[1]
LINES = re.findall(
    r'^(\w+) = "(dlplug_tabular[\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M
)


@pytest.mark.parametrize(("name", "module", "attribute"), LINES)
def test_each_entry_point_loads(name, module, attribute):
    """Each names a class or function with a docstring; networks go by their own names."""
    value = getattr(importlib.import_module(module), attribute)
    assert value.__doc__ and (attribute == name or name.startswith("ensemble_"))


def test_the_config_names_what_the_package_offers():
    """The one that the README shows."""
    config = load_file(ROOT / "diamonds_tabm.yaml").plain()
    names = {name for name, *_ in LINES}
    assert len(names) == 6 and {config["architecture"]["name"], config["task"]} <= names
