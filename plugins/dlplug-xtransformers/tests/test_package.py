"""The package as it is installed."""

import importlib
import re
from pathlib import Path

import pytest

from dlplug.config.document import load_file
from dlplug.config.parameters import parameters_of

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LINES = re.findall(r'^(\w+) = "(dlplug_xtransformers[\w.]+):(\w+)"$', PYPROJECT, re.M)


@pytest.mark.parametrize(("name", "module", "attribute"), LINES)
def test_each_entry_point_loads(name, module, attribute):
    """Each names a function of that name with a docstring."""
    assert attribute == name and getattr(importlib.import_module(module), attribute).__doc__


def test_the_config_sets_options_that_exist():
    """Of the architecture that the package offers."""
    architecture = load_file(ROOT / "kjv_x_transformer.yaml").plain()["architecture"]
    named = architecture.pop("name")
    ((module, attribute),) = [(m, a) for name, m, a in LINES if name == named]
    known = {p.name for p in parameters_of(getattr(importlib.import_module(module), attribute))}
    assert architecture.keys() <= known
