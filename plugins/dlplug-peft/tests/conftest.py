"""The plugin as pip installs it."""

from importlib import metadata
from pathlib import Path

import pytest
import tomllib


@pytest.fixture
def installed(tmp_path_factory, monkeypatch):
    """The plugin is found, whether or not it is installed; nothing is remembered for the user."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    if any(True for _ in metadata.distributions(name="dlplug-peft")):
        return
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    info = home / "dlplug_peft-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: dlplug-peft\nVersion: 0.1.0\n")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(home)
