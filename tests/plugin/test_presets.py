"""YAML files that a distribution ships, found without importing it."""

import sys

import pytest

from dlplug.errors import ComponentConflictError, ComponentLoadError
from dlplug.plugin import Registry, Status
from dlplug.plugin.description import component_text, describe_component
from dlplug.plugin.presets import comment_of, preset_file


@pytest.fixture
def acme(fake_distribution):
    """A distribution with two presets, one of which is not there; importing it would fail."""
    site = fake_distribution(
        "acme-vision",
        "2.0",
        summary="Vision.",
        entry_points={
            "dlplug.presets": {
                "small": "acme_vision.presets:small",
                "large": "acme_vision.presets:larg",
                "bare": "acme_vision",
            }
        },
        modules={"acme_vision.net": "", "acme_single": ""},
    )
    (site / "acme_vision" / "__init__.py").write_text("raise SystemExit")
    (site / "acme_vision" / "presets").mkdir()
    (site / "acme_vision" / "presets" / "small.yaml").write_text("# Small digits.\nname: small\n")
    (site / "acme_vision" / "presets" / "large.yml").write_text("name: large\n")
    return site


def test_a_file_is_found_without_an_import(acme):
    """Under the package, whose folder of presets need not be a module."""
    folder = acme / "acme_vision" / "presets"
    assert preset_file("acme_vision.presets:small") == folder / "small.yaml"
    assert preset_file("acme_vision.presets:large") == folder / "large.yml"
    assert "acme_vision" not in sys.modules
    assert comment_of(folder / "small.yaml") == "Small digits." and not comment_of(
        folder / "large.yml"
    )


def test_info_shows_file_comment_and_command(acme):
    """Nothing of Python's own class of paths."""
    preset = Registry.discover().find("presets", "small")
    path = acme / "acme_vision" / "presets" / "small.yaml"
    path.write_text("# Small digits.\n# In a minute.\n\n# Not this.\nname: small\n")
    text = component_text(describe_component(preset))
    assert str(path) in text and "Small digits.\n  In a minute." in text
    assert "use:         python -m dlplug fit --preset acme-vision:small" in text
    assert "Path" not in text and "Not this" not in text and "arguments" not in text
    assert preset.summary == "Small digits."


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("acme_vision.presets:smal", r"no file smal\.yaml in .*presets; did you mean 'small'\?"),
        ("acme_single:small", "there is no package 'acme_single'"),
        ("acme_none.presets:small", "there is no package 'acme_none'"),
    ],
)
def test_a_file_that_is_not_there_is_told(acme, target, message):
    """With the nearest one that is."""
    with pytest.raises(FileNotFoundError, match=message):
        preset_file(target)


@pytest.mark.parametrize(
    "stem", ["../secret", "..", "/etc/passwd", "presets/../../secret", ".hidden", ""]
)
def test_a_target_leads_nowhere_but_below_the_package(acme, stem):
    """A hook may offer any text; that of an entry point is checked when it is read."""
    (acme / "acme_vision" / "secret.yaml").write_text("name: secret\n")
    with pytest.raises(ValueError, match=r"is not of the form package\.folder:name"):
        preset_file(f"acme_vision.presets:{stem}")


@pytest.mark.parametrize("module", ["", ".acme_vision", "acme_vision..presets", "acme_vision/net"])
def test_a_package_is_named_by_words(module):
    """Between single dots."""
    with pytest.raises(ValueError, match="is not of the form"):
        preset_file(f"{module}:small")


def test_a_preset_is_a_component_like_others(acme, fake_distribution):
    """It has a status, an identity, a summary, and conflicts with its namesakes."""
    preset = Registry.discover().find("presets", "small")
    assert (preset.id, preset.status, preset.summary) == (
        "acme-vision:small",
        Status.AVAILABLE,
        "Vision.",
    )
    assert preset.load().name == "small.yaml"
    assert (preset.status, preset.summary) == (Status.LOADED, "Small digits.")
    with pytest.raises(ComponentLoadError, match="did you mean 'large'"):
        Registry.discover().find("presets", "large").load()
    bare = {p.name: p for p in Registry.discover().components("presets")}["bare"]
    assert bare.status is Status.FAILED and "names no file" in bare.reason
    fake_distribution("acme-z", entry_points={"dlplug.presets": {"small": "acme_z.presets:small"}})
    with pytest.raises(ComponentConflictError, match="acme-vision"):
        Registry.discover().find("presets", "small")
