"""Folders that take a name: a kill at any moment leaves a whole one."""

import os

import pytest

from dlplug.storage import folders
from dlplug.storage.files import remove_litter, write_text
from dlplug.storage.folders import new_folder, put_in_place


class Killed(BaseException):
    """The process ends here."""


def fill(path, content):
    folder = new_folder(path)
    write_text(folder / "content", content)
    return folder


def content(path):
    return (path / "content" if path.is_dir() else path).read_text()


def kill_at(monkeypatch, number):
    """Let the ``number``-th change of a name be the last thing that happens; returns the count."""
    calls = []
    for place, name in ((os, "rename"), (folders, "_exchange"), (folders, "remove")):
        original = getattr(place, name)

        def change(*arguments, original=original):
            if len(calls) == number:
                raise Killed
            calls.append(arguments)
            return original(*arguments)

        monkeypatch.setattr(place, name, change)
    return calls


@pytest.mark.parametrize("is_file", [False, True])
def test_a_kill_while_names_change_leaves_the_last_or_the_previous(tmp_path, is_file):
    """Between any two changes; the next start removes the rest."""
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for number in range(10):
        for name in os.listdir(tmp_path):
            folders.remove(tmp_path / name)
        put_in_place(fill(last, "1"), last, previous)
        put_in_place(fill(last, "2"), last, previous)
        if is_file:
            folders.remove(last)
            write_text(last, "2")
        new = fill(last, "3")
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(monkeypatch, number)
            try:
                put_in_place(new, last, previous)
                is_killed = False
            except Killed:
                is_killed = True
        found = {path.name: content(path) for path in (last, previous) if path.exists()}
        newest = found.get("last.ckpt") or found["previous.ckpt"]
        assert newest in "23"
        remove_litter(tmp_path)
        assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
        if not is_killed:
            break
    assert number >= 3 and found == {"last.ckpt": "3", "previous.ckpt": "2"}


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_best_one_always_has_its_name(tmp_path, monkeypatch, can_exchange):
    """The old or the new one, where names can change places; elsewhere it is replaced as well."""
    best = tmp_path / "best.ckpt"
    put_in_place(fill(best, "1"), best)
    if not can_exchange:
        monkeypatch.setattr(folders, "_exchange", lambda *names: False)
    put_in_place(fill(best, "2"), best)
    assert content(best) == "2" and os.listdir(tmp_path) == ["best.ckpt"]
    new = fill(best, "3")
    if can_exchange:
        for number in range(2):
            with pytest.MonkeyPatch.context() as patch:
                kill_at(patch, number)
                with pytest.raises(Killed):
                    put_in_place(new, best)
            assert content(best) == "23"[number]


def test_a_file_gives_way_to_a_folder_and_keeps_its_hash(tmp_path):
    """The manifest knows the file under its new name, and no longer under the old one."""
    from dlplug.run.checkpoint_io import write_checkpoint
    from dlplug.storage.manifest import damage, read_manifest

    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    write_checkpoint({"state_dict": {}}, last)
    put_in_place(fill(last, "2"), last, previous)
    assert read_manifest(tmp_path).keys() == {"previous.ckpt"}
    assert damage(previous) is None
    previous.write_bytes(previous.read_bytes()[:-1] + b"x")
    assert "SHA-256" in damage(previous)
    write_checkpoint({"state_dict": {}}, last)
    assert last.is_file() and content(previous) == "2" and damage(last) is None
    write_checkpoint({"state_dict": {}}, last)
    assert previous.is_file() and damage(previous) is None
    assert sorted(os.listdir(tmp_path)) == ["last.ckpt", "manifest.json", "previous.ckpt"]
