"""The registry as a whole: one bad plugin hurts nobody, and names resolve or say why not."""

import pytest

from dlplug.errors import ComponentLoadError, PluginError, UnknownComponentError
from dlplug.plugin import Registry, Status

BAD = {
    "acme-api": {"dlplug.api": {"major": "v9"}, "dlplug.losses": {"bad_api": "acme_m:A"}},
    "acme-extra": {"dlplug.losses": {"bad_extra": "acme_m:A [x]"}},
    "acme-group": {"dlplug.loses": {"bad_group": "acme_m:A"}},
    "acme-hook": {"dlplug": {"bad_hook": "acme_bad_hook"}},
    "acme-import": {"dlplug.losses": {"bad_import": "acme_bad_import:A"}},
    "acme-line": "[dlplug.losses]\nbad_line\n",
    "acme-syntax": {"dlplug.losses": {"bad_syntax": "acme_bad_syntax:A"}},
    "acme-twice": {"dlplug.losses": {"cross_entropy": "acme_m:A"}},
}
MODULES = {
    "acme_bad_hook": "import dlplug\n@dlplug.hookimpl\ndef dlplug_helth(): pass",
    "acme_bad_import": "import no_such_module",
    "acme_bad_syntax": "class A(:",
}


@pytest.fixture
def everything_bad(fake_distribution):
    """One distribution for each fault, and a sound one."""
    for name, lines in BAD.items():
        fake_distribution(
            name,
            entry_points=lines,
            requires=["no-such-thing; extra == 'x'"],
            extras=["x"],
        )
    fake_distribution("acme-modules", modules=MODULES)
    fake_distribution(
        "acme-sound",
        entry_points={"dlplug.losses": {"sound": "acme_sound:Sound"}},
        modules={"acme_sound": "class Sound: pass"},
    )


def acme(registry):
    return {e.id: e.status for e in registry.entries() if e.distribution.startswith("acme")}


def test_one_bad_plugin_never_hurts_others(everything_bad):
    """Every fault is a status of its own entry; the sound plugin loads."""
    registry = Registry.discover()
    registry.load_hooks()
    for name in ("bad_import", "bad_syntax"):
        with pytest.raises(ComponentLoadError):
            registry.find("loss", name).load()
    assert registry.find("loss", "sound").load().__name__ == "Sound"
    assert acme(registry) == {
        "acme-api:bad_api": Status.INCOMPATIBLE,
        "acme-extra:bad_extra": Status.MISSING_EXTRA,
        "acme-group:bad_group": Status.INCOMPATIBLE,
        "acme-hook:bad_hook": Status.FAILED,
        "acme-import:bad_import": Status.FAILED,
        "acme-line:bad_line": Status.FAILED,
        "acme-syntax:bad_syntax": Status.FAILED,
        "acme-twice:cross_entropy": Status.CONFLICT,
        "acme-sound:sound": Status.LOADED,
    }
    assert all(entry.reason and entry.fix for entry in registry.problems())


@pytest.mark.parametrize("plugin", sorted(BAD.keys() - {"acme-import", "acme-syntax"}))
def test_strict_mode_stops_at_any_problem(everything_bad, plugin):
    """In strict mode each fault that shows without loading components is an error naming it."""
    with pytest.raises(PluginError, match=f"strict mode allows no.*{plugin} 1\\.0") as caught:
        Registry.discover(allow=[plugin], strict=True).load_hooks()
    assert caught.value.fix == "python -m dlplug plugins list shows each with its fix"


def test_strict_mode_accepts_sound_plugins(everything_bad):
    """Without problems strict mode changes nothing; what is disabled is no problem."""
    registry = Registry.discover(allow=["acme-sound"], strict=True)
    registry.load_hooks()
    assert registry.find("loss", "sound").load()


def test_strict_may_come_from_the_config(everything_bad):
    """The config can make it strict after discovery."""
    with pytest.raises(PluginError, match="strict mode"):
        Registry.discover().restrict(strict=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_api", "made for plugin API 9"),
        ("bad_extra", r"needs its extra \[x\]"),
        ("bad_line", "malformed entry point"),
    ],
)
def test_a_config_that_needs_the_bad_component_is_told(everything_bad, name, message):
    """Only the config that names it gets the error, with reason and fix."""
    with pytest.raises(PluginError, match=message) as caught:
        Registry.discover().find("loss", name, where="config.yaml, line 7")
    assert caught.value.where == "config.yaml, line 7"
    assert caught.value.fix


def test_an_unknown_name_is_told_with_what_is_known(fake_distribution):
    """The text names where, who provides what, the nearest name and how to list all."""
    fake_distribution(
        "acme-losses", "2.3", entry_points={"dlplug.losses": {"acme_dice": "acme_m:D"}}
    )
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("loss", "focl", where="configs/a.yaml, line 7, loss.name")
    error = caught.value
    assert error.what == "no loss named 'focl'"
    assert error.where == "configs/a.yaml, line 7, loss.name"
    assert ", cross_entropy, " in error.known and "(dlplug " in error.known
    assert "acme_dice (acme-losses 2.3)" in error.known
    assert error.fix == (
        "did you mean 'focal'? list all: python -m dlplug plugins list --kind losses"
    )


def test_an_unknown_id_is_told_with_the_nearest_id(fake_distribution):
    """A misspelt distribution or name in an id is matched with ids."""
    fake_distribution("acme-losses", entry_points={"dlplug.losses": {"acme_dice": "acme_m:D"}})
    with pytest.raises(UnknownComponentError, match="did you mean 'acme-losses:acme_dice'"):
        Registry.discover().find("loss", "acme-lossses:acme_dice")


def test_a_name_of_another_kind_is_told():
    """A name in the wrong place is recognised."""
    with pytest.raises(UnknownComponentError, match="'adamw' belongs under optimizer;"):
        Registry.discover().find("loss", "adamw")
    with pytest.raises(UnknownComponentError, match="'ema' belongs under callbacks;"):
        Registry.discover().find("loss", "ema")
    with pytest.raises(UnknownComponentError, match="'random_shift' is a transform;"):
        Registry.discover().find("loss", "random_shift")


def test_dlplugs_own_names_are_all_told():
    """There are few of them, and a callback may be the last by letters."""
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("callback", "xyz")
    assert "weight_histograms (dlplug" in caught.value.known and "more" not in caught.value.known


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        ("architecture", "so: architecture: {class_path: torch.nn.Linear};"),
        ("callback", "so: callbacks: [{class_path: torch.nn.Linear}];"),
    ],
)
def test_a_class_is_told_from_a_name(kind, fix):
    """With the form in which a config takes it."""
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find(kind, "torch.nn.Linear")
    assert fix in caught.value.fix


def test_a_model_of_a_family_that_is_not_installed_is_no_class():
    """Classes begin with a capital."""
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("architecture", "acme.resnet18")
    assert "class_path" not in caught.value.fix


def test_a_name_of_a_known_family_is_no_class(fake_distribution):
    """It has a dot, too."""
    fake_distribution("acme", entry_points={"dlplug.losses": {"acme.one": "acme_m:D"}})
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("loss", "acme.seven")
    assert "class_path" not in caught.value.fix


def test_a_message_does_not_list_a_thousand_names(fake_distribution):
    """Of a large family the first names are shown, and how many more there are."""
    lines = {f"model{number:04}": "acme_m:M" for number in range(1000)}
    fake_distribution("acme-family", entry_points={"dlplug.losses": lines})
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("loss", "nothing")
    assert "model0019, ... 980 more (acme-family 1.0)" in caught.value.known


def test_either_word_of_a_kind_will_do():
    """Kinds are accepted in plural and singular."""
    registry = Registry.discover()
    assert registry.find("loss", "focal") is registry.find("losses", "focal")
    assert registry.names("data") == registry.names("datamodules")


def test_the_same_installation_gives_the_same_list(everything_bad):
    """Names and order do not depend on the order of folders."""
    first, second = (
        [(e.kind, e.id, e.status, e.reason) for e in Registry.discover().entries()]
        for _ in range(2)
    )
    assert first == second


def test_a_plugin_tells_its_overall_status(everything_bad):
    """A distribution shows the worst status among its entries, with the reason."""
    plugins = {plugin.name: plugin for plugin in Registry.discover(block=["acme-api"]).plugins()}
    assert plugins["dlplug"].status is Status.AVAILABLE
    assert plugins["acme-sound"].status is Status.AVAILABLE
    assert plugins["acme-api"].status is Status.DISABLED
    assert plugins["acme-extra"].status is Status.MISSING_EXTRA
    assert plugins["acme-extra"].reason.startswith("needs its extra [x]")
    assert next(iter(plugins)) == "dlplug"


def test_given_distributions_replace_the_path(fake_distribution):
    """Only the distributions that are given count, and their requirements among themselves."""
    from importlib import metadata

    site = fake_distribution(
        "acme-a", entry_points={"dlplug.losses": {"acme_dice": "acme_m:D"}}, requires=["acme-b"]
    )
    fake_distribution("acme-b", entry_points={"dlplug.losses": {"hinge": "acme_m:H"}})
    registry = Registry.discover(distributions=metadata.distributions(path=[str(site)]))
    assert [plugin.name for plugin in registry.plugins()] == ["dlplug", "acme-a", "acme-b"]
    assert registry.find("loss", "acme_dice").status is Status.AVAILABLE


def test_unreadable_metadata_is_a_problem_until_it_is_blocked(fake_distribution):
    """A distribution that cannot be read fails strict mode, unless the user does without it."""
    site = fake_distribution("acme-bytes", entry_points="[dlplug.losses]")
    (site / "acme_bytes-1.0.dist-info" / "entry_points.txt").write_bytes(b"[dlplug]\n\xff")
    with pytest.raises(PluginError, match=r"acme-bytes 1\.0: its metadata cannot be read"):
        Registry.discover(allow=["acme-bytes"], strict=True)
    registry = Registry.discover(block=["acme-bytes"])
    (plugin,) = [p for p in registry.plugins() if p.name == "acme-bytes"]
    assert plugin.problem is None
    assert plugin.notes[0].startswith("disabled; its metadata cannot be read")


def test_an_unknown_name_may_be_that_of_a_family_that_failed(fake_distribution):
    """The message names the plugins whose hooks could not be asked."""
    fake_distribution(
        "acme-family",
        entry_points={"dlplug": {"hooks": "acme_family"}},
        modules={"acme_family": "import no_such_module"},
    )
    registry = Registry.discover()
    registry.load_hooks()
    with pytest.raises(UnknownComponentError, match="may offer it, but its hooks failed") as caught:
        registry.find("architecture", "acme.resnet18")
    assert "acme-family 1.0" in caught.value.fix
