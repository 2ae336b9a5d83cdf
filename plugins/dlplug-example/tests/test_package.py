"""The package as it is installed."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Read as text: tomllib came with Python 3.11 only.
LINES = re.findall(r'^(\w+) = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M)


def test_there_are_entry_points():
    """The expression above finds the three of them."""
    assert [name for name, *_ in LINES] == ["convmixer", "poly1_cross_entropy", "throughput"]


@pytest.mark.parametrize(("name", "module", "attribute"), LINES)
def test_each_entry_point_loads(name, module, attribute):
    """Each names a class or function with a docstring."""
    assert getattr(importlib.import_module(module), attribute).__doc__


def test_the_package_does_not_import_dlplug():
    """A fresh interpreter that imports everything has no dlplug."""
    imports = "; ".join(f"import {module}" for _, module, _ in LINES)
    code = f"{imports}; import sys; sys.exit('dlplug' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_config_names_what_the_package_offers():
    """Each of the three is used in the config that the README shows."""
    config = (ROOT / "mnist_convmixer.yaml").read_text()
    assert all(name in config for name, *_ in LINES)
