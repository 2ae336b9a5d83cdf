"""The plugin as pip installs it."""

import re
from importlib import metadata
from pathlib import Path

import pytest


@pytest.fixture
def installed(tmp_path_factory, monkeypatch):
    """The plugin is found, whether or not it is installed; nothing is remembered for the user."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    if any(True for _ in metadata.distributions(name="dlplug-peft")):
        return
    info = home / "dlplug_peft-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: dlplug-peft\nVersion: 0.1.0\n")
    # Read as text: tomllib came with Python 3.11 only.
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    tables = re.findall(r"^\[project\.entry-points\.(\S+)\]\n((?:.+ = .+\n)+)", pyproject, re.M)
    lines = "\n".join(f"[{group}]\n{entries}" for group, entries in tables)
    (info / "entry_points.txt").write_text(lines.replace('"', ""))
    monkeypatch.syspath_prepend(home)
