"""The plugins in the folder ``plugins`` keep the rules."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from dlplug.plugin import Registry
from dlplug.testing.check import check_distribution
from dlplug.testing.verdict import report_text
from tests.plugin.test_example_plugins import entry_points_of

PLUGINS = Path(__file__).parents[2] / "plugins"
# A package without code cannot bring examples of its own.
RTDL = """
architectures:
  rtdl_resnet:
    arguments: {d_block: 8, d_hidden_multiplier: 2.0, dropout1: 0.1, dropout2: 0.1}
    exempt: {tells_its_parameters: the library misspells one of them in its docstring}
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dlplug-example", "dlplug-example-hooks", "dlplug-rtdl"])
def test_an_example_plugin_keeps_every_rule(name, fake_distribution, tmp_path, monkeypatch):
    """Installed as its pyproject says, each component and module of hooks."""
    if name == "dlplug-rtdl" and find_spec("rtdl_revisiting_models") is None:
        pytest.skip("rtdl_revisiting_models is not installed")
    fake_distribution(
        name, entry_points=entry_points_of((PLUGINS / name / "pyproject.toml").read_text())
    )
    monkeypatch.syspath_prepend(PLUGINS / name)
    examples = tmp_path / "examples.yaml"
    examples.write_text(RTDL if name == "dlplug-rtdl" else "")
    verdicts = check_distribution(Registry.discover(), name, examples)
    failures = [verdict for verdict in verdicts if verdict.is_failure]
    assert verdicts and not failures, report_text(name, "0.1.0", failures)
