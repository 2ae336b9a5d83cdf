"""Files that are complete or not there."""

import os

import pytest

from dlplug.errors import StorageError
from dlplug.storage.files import link_file, remove_litter, write_file, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """The old content stays and no half file remains beside it."""
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(file):
        file.write(b"half")
        raise OSError("no space left on device")

    with pytest.raises(StorageError, match=r"a\.txt cannot be written: no space"):
        write_file(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_file_is_new_and_in_the_same_folder(tmp_path, monkeypatch):
    """Written beside its place: the system's temporary folder may be another file system."""
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    path = tmp_path / "a.txt"
    write_text(path, "one")
    link = tmp_path / "link.txt"
    os.link(path, link)
    write_text(path, "two")
    assert (path.read_text(), link.read_text()) == ("two", "one")


def test_others_may_read_it_as_any_new_file(tmp_path):
    """The permissions are those of an ordinary file, not of a private temporary one."""
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "a.txt", "")
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "a.txt")}
    assert len(modes) == 1


def test_a_second_name_is_the_same_content(tmp_path, monkeypatch):
    """A link, or a copy where the file system has none; it replaces what had the name."""
    for number, link in enumerate((os.link, None)):
        if link is None:
            monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError("no")))
        write_text(tmp_path / "a.txt", f"new {number}")
        write_text(tmp_path / "b.txt", "old")
        link_file(tmp_path / "a.txt", tmp_path / "b.txt")
        assert (tmp_path / "b.txt").read_text() == f"new {number}"
        assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]


def test_a_second_name_that_is_there_already_leaves_no_third(tmp_path):
    """A rename of a file onto itself does nothing, and would leave the name that it came from."""
    write_text(tmp_path / "a.txt", "new")
    for _ in range(2):
        link_file(tmp_path / "a.txt", tmp_path / "b.txt")
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]


def test_litter_of_a_killed_process_is_removed(tmp_path):
    """Temporary files go, everything else stays."""
    for name in (".a.ckpt.x8f3", ".b.ckpt.77.link", ".lock", "a.ckpt", "manifest.json"):
        (tmp_path / name).write_text("")
    assert len(remove_litter(tmp_path)) == 2
    assert sorted(os.listdir(tmp_path)) == [".lock", "a.ckpt", "manifest.json"]
