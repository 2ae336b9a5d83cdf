"""The package as dlplug sees it."""

import re
from pathlib import Path

import pytest

from dlplug.errors import UnknownComponentError
from dlplug.plugin import Registry, Status

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry that finds this package as if it were installed."""
    info = tmp_path / "dlplug_example_hooks-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: dlplug-example-hooks\nVersion: 0.1.0\n")
    lines = re.findall(r'^(\w+) = "(dlplug_example_hooks.*)"$', PYPROJECT, re.M)
    text = "[dlplug]\n" + "".join(f"{name} = {target}\n" for name, target in lines)
    (info / "entry_points.txt").write_text(text + "[dlplug.api]\nmajor = v1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry = Registry.discover(allow=["dlplug-example-hooks"])
    registry.load_hooks()
    return registry


def test_both_modules_are_registered(registry):
    """Every hook is spelt as dlplug spells it."""
    assert [entry.id for entry in registry.hook_modules()] == [
        "dlplug-example-hooks:compile",
        "dlplug-example-hooks:torch_family",
    ]
    plugin = next(p for p in registry.plugins() if p.name == "dlplug-example-hooks")
    assert plugin.status is Status.LOADED


def test_names_of_the_family_resolve(registry):
    """The config's names are found and load; a misspelt one gets the nearest."""
    config = (ROOT / "digits_torch_family.yaml").read_text()
    for kind in ("loss", "optimizer", "scheduler"):
        name = re.search(rf"^{kind}: {{name: ([\w.]+)", config, re.M).group(1)
        assert registry.find(kind, name).load().__name__ == name.removeprefix("torch.")
    with pytest.raises(UnknownComponentError, match=r"did you mean 'torch\.RMSprop'"):
        registry.find("optimizer", "torch.RMSProp")


def test_health_is_asked(registry):
    """The doctor gets a row."""
    ((name, rows),) = registry.call("dlplug_health")
    assert (name, rows[0][0]) == ("dlplug-example-hooks:compile", "torch.compile")


def test_the_names_are_known_to_the_next_process(registry):
    """Listing and completion have them without importing torch."""
    known = Registry.discover(allow=["dlplug-example-hooks"])
    names = {c.name: c for c in known.components("optimizers") if c.offered_by}
    assert names.keys() == {c.name for c in registry.components("optimizers") if c.offered_by}
    assert names["torch.RMSprop"].is_recalled and known.hook_modules() == []
