"""The status that metadata alone gives to each entry point."""

import pytest

from dlplug.plugin import Status
from dlplug.plugin.distributions import find_plugins, is_installed
from dlplug.plugin.plugin import read_plugin


@pytest.fixture
def read(fake_distribution):
    """Install a distribution and read it as a plugin."""

    def install_and_read(name="acme", **arguments):
        fake_distribution(name, **arguments)
        found = next(found for found in find_plugins() if found.name == name)
        return read_plugin(found, is_installed)

    return install_and_read


def only(plugin):
    (entry,) = plugin.entries
    return entry


def test_a_sound_line_is_available(read):
    """A component knows its kind, name, distribution, version, target and summary."""
    entry = only(
        read(summary="Losses.", entry_points={"dlplug.losses": {"acme_dice": "acme_m:Dice"}})
    )
    assert (entry.id, entry.kind, entry.version) == ("acme:acme_dice", "losses", "1.0")
    assert (entry.target, entry.summary) == ("acme_m:Dice", "Losses.")
    assert (entry.status, entry.reason) == (Status.AVAILABLE, None)
    assert entry.entry_point == "dlplug.losses: acme_dice = acme_m:Dice"


@pytest.mark.parametrize("major", ["v1", "1"])
def test_the_api_of_this_version_is_accepted(read, major):
    """``v1``, which pyproject's checks want, and ``1`` are the same."""
    lines = {"dlplug.api": {"major": major}, "dlplug.losses": {"acme_dice": "acme_m:Dice"}}
    plugin = read(entry_points=lines)
    assert (plugin.api, plugin.status) == (major, Status.AVAILABLE)


@pytest.mark.parametrize(
    ("major", "reason"),
    [
        ("v2", "made for plugin API 2; this dlplug has 1"),
        ("0", "made for plugin API 0; this dlplug has 1"),
        ("two", "states the plugin API 'two', which is not of the form 'v1'"),
    ],
)
def test_another_api_major_is_incompatible(read, major, reason):
    """Told without importing anything, and with what to do."""
    lines = {"dlplug.api": {"major": major}, "dlplug.losses": {"acme_dice": "acme_m:Dice"}}
    entry = only(read(entry_points=lines))
    assert (entry.status, entry.reason) == (Status.INCOMPATIBLE, reason)
    assert entry.fix == (
        "install a version of acme for API 1, or another dlplug; its authors state what it is made"
        " for by dlplug.api: major = v1"
    )


def test_an_unknown_key_of_the_api_group_is_noted(read):
    """``majour = "v1"`` states nothing, and the warning says so."""
    lines = {"dlplug.api": {"majour": "v2"}, "dlplug.losses": {"acme_dice": "acme_m:Dice"}}
    plugin = read(entry_points=lines)
    assert plugin.warnings == ["dlplug.api: 'majour' is not known; known: major"]


def test_an_unknown_group_is_visible_with_a_suggestion(read):
    """A line in a misspelt group is not lost, and does not touch the others."""
    plugin = read(
        entry_points={
            "dlplug.architecture": {"resnet": "acme_m:ResNet"},
            "dlplug.losses": {"acme_dice": "acme_m:Dice"},
        }
    )
    wrong, right = plugin.entries
    assert (wrong.kind, wrong.status) == ("dlplug.architecture", Status.INCOMPATIBLE)
    assert wrong.reason.endswith("did you mean 'dlplug.architectures'?")
    assert wrong.fix == "update dlplug, or ask the authors of acme to rename the group"
    assert right.status is Status.AVAILABLE
    assert plugin.status is Status.INCOMPATIBLE


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("acme_dice = ???", "malformed entry point 'acme_dice = ???'"),
        ("di ce = acme_m:Dice", "the name 'di ce' contains ' '"),
        ("a:b = acme_m:Dice", "the name 'a:b' contains ':'"),
        ("= acme_m:Dice", "a component needs a name"),
        (
            "acme_dice = acme_m",
            "'acme_m' names a module; a component is a class or function, module:Name",
        ),
    ],
)
def test_a_line_that_cannot_be_used_has_failed(read, line, reason):
    """What is wrong with a line is told without importing it."""
    entry = only(read(entry_points=f"[dlplug.losses]\n{line}\n"))
    assert (entry.status, entry.reason) == (Status.FAILED, reason)
    assert entry.fix == "ask the authors of acme to correct their entry points"


def test_an_extra_of_the_line_that_is_not_installed(read):
    """What is missing and how to install it are told, and loading is refused."""
    entry = only(
        read(
            entry_points={"dlplug.losses": {"acme_dice": "acme_m:Dice [fast]"}},
            requires=["no-such-thing; extra == 'fast'", "pytest; extra == 'fast'"],
            extras=["fast"],
        )
    )
    assert (entry.status, entry.refuses) == (Status.MISSING_EXTRA, True)
    assert entry.reason == "needs its extra [fast]; not installed: no-such-thing"
    assert entry.fix == "pip install 'acme[fast]'"


def test_an_extra_that_is_installed(read):
    """A line whose extra is complete is available."""
    plugin = read(
        entry_points={"dlplug.losses": {"acme_dice": "acme_m:Dice [fast]"}},
        requires=["pytest; extra == 'fast'"],
        extras=["fast"],
    )
    assert (plugin.status, plugin.warnings) == (Status.AVAILABLE, [])


def test_an_extra_that_is_not_declared_is_noted(read):
    """A misspelt extra of a line could never be installed; the warning names it."""
    plugin = read(
        entry_points={"dlplug.losses": {"acme_dice": "acme_m:Dice [fats]"}}, extras=["fast"]
    )
    assert plugin.warnings == [
        "dlplug.losses: acme_dice names the extra 'fats', which is not declared"
    ]


def test_a_requirement_that_is_not_installed(read):
    """The distribution's own missing requirement is told; loading is still tried.

    Another distribution may provide the same modules (onnxruntime-gpu for onnxruntime).
    """
    entry = only(
        read(
            entry_points={"dlplug.losses": {"acme_dice": "acme_m:Dice"}},
            requires=["no-such-thing>=2", "no-such-extra; extra == 'x'", "dlplug"],
            modules={"acme_m": "class Dice: pass"},
        )
    )
    assert (entry.status, entry.refuses) == (Status.MISSING_EXTRA, False)
    assert entry.reason == "acme requires what is not installed: no-such-thing"
    assert entry.fix == "pip install no-such-thing"
    entry.load()
    assert entry.status is Status.LOADED


def test_the_same_line_twice_is_one_line(read):
    """A repeated line is no conflict with itself."""
    plugin = read(entry_points={"dlplug.losses": [("acme_dice", "acme_m:Dice")] * 2})
    assert only(plugin).name == "acme_dice"


def test_the_same_name_twice_is_kept_twice(read):
    """Two targets of one name are both there, to be told as a conflict."""
    plugin = read(
        entry_points={"dlplug.losses": [("acme_dice", "acme_m:A"), ("acme_dice", "acme_m:B")]}
    )
    assert [entry.target for entry in plugin.entries] == ["acme_m:A", "acme_m:B"]


def test_hooks_are_entries_too(read):
    """A module in the group ``dlplug`` is an entry of the kind ``hooks``."""
    entry = only(read(entry_points={"dlplug": {"hooks": "acme_hooks"}}))
    assert (entry.kind, entry.entry_point) == ("hooks", "dlplug: hooks = acme_hooks")
