"""The package as it is installed."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dlplug_monai.signature import options_of

from dlplug.config.document import load_file
from dlplug.config.parameters import parameters_of

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LINES = re.findall(r'^(\w+) = "(dlplug_monai[\w.]+):(\w+)"$', PYPROJECT, re.M)


@pytest.mark.parametrize(("name", "module", "attribute"), LINES)
def test_each_entry_point_loads(name, module, attribute):
    """Each names a class, or a function of that name, with a docstring."""
    value = getattr(importlib.import_module(module), attribute)
    assert value.__doc__.strip() and (isinstance(value, type) or attribute == name)


def test_nothing_is_imported_before_one_is_named():
    """MONAI costs more than a second."""
    code = "import dlplug_monai, sys; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_config_sets_arguments_that_exist():
    """Of the network that the package offers."""
    config = load_file(ROOT / "digit_scenes_dynunet.yaml").plain()
    names = {name: (module, attribute) for name, module, attribute in LINES}
    module, attribute = names[config["architecture"].pop("name")]
    known = {p.name for p in parameters_of(getattr(importlib.import_module(module), attribute))}
    assert config["architecture"].keys() <= known


def test_a_name_that_monai_has_dropped_is_told():
    """When the module is imported, rather than by an option that does nothing."""

    class Network:
        def __init__(self, width: int = 3):
            self.width = width

    assert [option.name for option in options_of(Network, (), {"width": 4})] == ["width"]
    with pytest.raises(TypeError, match="Network has no parameter depth"):
        options_of(Network, ("depth",), {})
