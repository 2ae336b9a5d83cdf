"""Plugins that the user has disabled for good."""

import json
import multiprocessing
from pathlib import Path

import pytest

from dlplug.errors import PluginError
from dlplug.plugin import Registry, Status
from dlplug.plugin.choices import choices_file, disable, enable, read_choices


@pytest.fixture(autouse=True)
def acme(fake_distribution):
    """A distribution with two losses."""
    fake_distribution(
        "acme", entry_points={"dlplug.losses": {"acme_dice": "acme:D", "hinge": "acme:H"}}
    )


def status_of(name):
    (component,) = [c for c in Registry.discover().components("losses") if c.id == name]
    return component


def test_what_is_disabled_stays_so_until_it_is_allowed():
    """In every later process; the fix is the command that undoes it."""
    assert read_choices()["disabled"] == []
    disable("acme:acme_dice")
    assert disable("acme") == ["acme", "acme:acme_dice"]
    component = status_of("acme:hinge")
    assert component.status is Status.DISABLED
    assert component.reason == "blocked by plugins disable"
    assert component.fix == "python -m dlplug plugins allow acme"
    assert enable("acme") == ["acme:acme_dice"]
    assert status_of("acme:hinge").status is Status.AVAILABLE
    assert status_of("acme:acme_dice").status is Status.DISABLED


def test_it_belongs_to_the_user(monkeypatch, tmp_path):
    """By the XDG specification, which says to ignore a relative folder."""
    disable("acme")
    path = tmp_path / "settings" / "dlplug" / "plugins.json"
    assert choices_file() == path and json.loads(path.read_text())["disabled"] == ["acme"]
    assert [file.name for file in path.parent.iterdir()] == ["plugins.json"]
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert choices_file() == Path.home() / ".config" / "dlplug" / "plugins.json"


def test_a_name_that_is_not_installed_here_does_nothing():
    """The file holds in every environment; a typing error is found when the name is written."""
    disable("elsewhere")
    assert status_of("acme:acme_dice").status is Status.AVAILABLE


def test_a_name_has_several_spellings():
    """Case and separators do not matter, as in --block; it stands there once."""
    disable("acme_net")
    assert disable("Acme-Net") == ["Acme-Net"]
    assert disable("acme.net:Soft_Dice") == ["Acme-Net", "acme.net:Soft_Dice"]
    assert enable("acme-net:soft-dice") == ["Acme-Net"]
    assert enable("ACME_NET") == []


def disable_many(first):
    for number in range(20):
        disable(f"acme-{first}-{number:02}")


def test_processes_that_write_at_once_lose_nothing():
    """Each sees what the other has written."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=disable_many, args=(first,)) for first in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_choices()["disabled"]) == 60
    assert [file.name for file in choices_file().parent.iterdir()] == ["plugins.json"]


def test_what_is_not_disabled_cannot_be_allowed():
    """The message says what is."""
    disable("acme")
    with pytest.raises(PluginError, match="'acne' is not disabled") as caught:
        enable("acne")
    assert caught.value.known == "acme" and "did you mean 'acme'" in caught.value.fix


@pytest.mark.parametrize(
    "text", ["", "[]", '{"disabled": "acme"}', '{"disabled": [1]}', '{"files": 2}']
)
def test_a_damaged_file_is_refused(text):
    """Nothing that it may forbid is used."""
    disable("acme")
    choices_file().write_text(text)
    with pytest.raises(PluginError, match="cannot read which plugins you disabled") as caught:
        Registry.discover()
    assert caught.value.where == str(choices_file()) and "delete it" in caught.value.fix


def test_what_a_later_dlplug_wrote_stays():
    """A key that this one does not know is kept when another is written."""
    disable("acme")
    choices_file().write_text('{"disabled": ["acme"], "favourites": ["vit"]}')
    enable("acme")
    assert json.loads(choices_file().read_text()) == {"disabled": [], "favourites": ["vit"]}


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    """Else the name would seem to be disabled."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(PluginError, match="cannot write your choice"):
        disable("acme")


def test_without_a_home_folder_nothing_is_disabled(monkeypatch):
    """As in a container; writing says what to set."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert read_choices() == {"disabled": [], "files": []}
    with pytest.raises(PluginError, match="no home folder"):
        disable("acme")
