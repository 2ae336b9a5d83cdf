"""What is remembered from one process to the next."""

import json

import pytest

from dlplug.errors import ComponentLoadError
from dlplug.plugin import Registry, Status
from dlplug.plugin.memory import Memory, Outcome

LINES = {"dlplug.losses": {"acme_dice": "acme_memory:Dice", "hinge": "acme_memory_bad:Hinge"}}
MODULES = {
    "acme_memory": '''
        class Dice:
            """Overlap of two masks.

            More about it.
            """
    ''',
    "acme_memory_bad": "import no_such_module",
}


def remembered(path):
    (file,) = (path / "dlplug").iterdir()
    return json.loads(file.read_text())


@pytest.fixture
def loaded_once(fake_distribution):
    """One component that has loaded and one that has failed, in a registry that is gone."""
    fake_distribution("acme", summary="Losses.", entry_points=LINES, modules=MODULES)
    registry = Registry.discover()
    registry.find("loss", "acme_dice").load()
    with pytest.raises(ComponentLoadError):
        registry.find("loss", "hinge").load()


def test_a_summary_is_remembered(loaded_once):
    """After a load the first line of the docstring is the summary, in later processes too."""
    assert Registry.discover().find("loss", "acme_dice").summary == "Overlap of two masks."


def test_before_the_first_load_the_distribution_s_summary_stands(fake_distribution):
    """A component that was never loaded is described by its distribution's Summary."""
    fake_distribution("acme", summary="Losses.", entry_points=LINES)
    assert Registry.discover().find("loss", "acme_dice").summary == "Losses."


def test_a_failure_is_shown_and_tried_again(loaded_once, fake_distribution):
    """The next process shows it as failed; using it imports it anew, here with success."""
    entry = Registry.discover().find("loss", "hinge")
    assert (entry.status, entry.error) == (Status.FAILED, None)
    assert entry.reason.startswith(
        "when last used: ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert entry.fix.startswith("tried again when a config names it; now: ")
    fake_distribution(
        "more", modules={"no_such_module": "", "acme_memory_bad": "class Hinge: pass"}
    )
    assert entry.load().__name__ == "Hinge"
    assert Registry.discover().find("loss", "hinge").status is Status.AVAILABLE


def test_another_version_starts_afresh(loaded_once, fake_distribution):
    """An outcome belongs to distribution, version and target."""
    fake_distribution("acme", "1.1", entry_points=LINES, folder="upgraded")
    assert Registry.discover().find("loss", "hinge").status is Status.AVAILABLE


def test_strict_mode_does_not_go_by_memory(loaded_once, private_memory):
    """A failure of the past makes no build fail."""
    entry = next(e for e in Registry.discover().components("loss") if e.name == "hinge")
    assert entry.status is Status.FAILED
    Registry.discover(allow=["acme"], strict=True)
    Registry.discover(allow=["acme"]).restrict(strict=True)


def test_a_failure_of_the_past_hides_no_conflict(loaded_once, fake_distribution):
    """Two providers of a name are in conflict, whatever became of them before."""
    fake_distribution("acme-b", entry_points={"dlplug.losses": {"hinge": "acme_other:Hinge"}})
    rivals = [c for c in Registry.discover().components("loss") if c.name == "hinge"]
    assert [c.status for c in rivals] == [Status.CONFLICT, Status.CONFLICT]


def test_a_plugin_that_failed_once_is_trusted_as_before(fake_distribution):
    """Neither a remembered failure nor a shared name is a reason for distrust."""
    from dlplug.config.trust import Trust

    lines = {"dlplug.losses": {"hinge": "acme_memory_bad:Hinge", "focal": "acme_memory_two:F"}}
    fake_distribution("acme", entry_points=lines, modules=MODULES)
    with pytest.raises(ComponentLoadError):
        Registry.discover().find("loss", "hinge").load()
    packages = Trust(Registry.discover(allow=["acme"])).plugin_packages
    assert {"acme_memory_bad", "acme_memory_two"} <= packages


def test_nothing_is_written_without_news(loaded_once, private_memory):
    """A load that ends as the last one did leaves the file alone."""
    (file,) = (private_memory / "dlplug").iterdir()
    before = file.stat().st_mtime_ns, file.stat().st_ino
    Registry.discover().find("loss", "acme_dice").load()
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"a": 1}', '{"acme 1.0 m:A": {"failed": [1]}}', "\x00\xff"]
)
def test_a_damaged_file_is_no_error(tmp_path, content):
    """Whatever stands in the file, reading it raises nothing, and it can be written again."""
    path = tmp_path / "memory.json"
    path.write_text(content, encoding="latin-1")
    Memory(path).recall("acme", "1.0", "m:A")
    Memory(path).record("acme", "1.0", "m:A", Outcome(summary="new"))
    assert Memory(path).recall("acme", "1.0", "m:A") == Outcome(summary="new")


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    """Where the folder's place is taken by a file, nothing is remembered beyond the process."""
    (tmp_path / "taken").write_text("")
    memory = Memory(tmp_path / "taken" / "memory.json")
    memory.record("acme", "1.0", "m:A", Outcome(summary="new"))
    assert memory.recall("acme", "1.0", "m:A") == Outcome(summary="new")


def test_a_write_keeps_what_others_wrote(tmp_path):
    """Two processes that remember different components do not erase each other's."""
    first, second = Memory(tmp_path / "m.json"), Memory(tmp_path / "m.json")
    assert first.recall("a", "1", "m:A") is second.recall("a", "1", "m:A") is None
    first.record("a", "1", "m:A", Outcome(summary="A"))
    second.record("b", "1", "m:B", Outcome(failed="B"))
    fresh = Memory(tmp_path / "m.json")
    assert fresh.recall("a", "1", "m:A") == Outcome(summary="A")
    assert fresh.recall("b", "1", "m:B") == Outcome(failed="B")
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_without_a_usable_xdg_folder_the_home_is_used(monkeypatch, tmp_path, value):
    """A relative XDG_CACHE_HOME counts as unset, as the specification says."""
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Memory.of_this_environment().path.parent == tmp_path / ".cache" / "dlplug"


def test_each_environment_has_its_own_file(monkeypatch):
    """What fails in one virtual environment may load in another."""
    here = Memory.of_this_environment().path
    monkeypatch.setattr("sys.prefix", "/another/environment")
    assert Memory.of_this_environment().path != here


def test_built_in_components_are_not_remembered(private_memory):
    """The table describes them, and a failure during development must not stick."""
    Registry.discover().find("optimizer", "dlplug:sgd").load()
    assert not private_memory.exists()
