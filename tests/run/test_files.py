"""Files that are complete or not there."""

import os

import pytest

from dlplug.run.files import write_file, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """The old content stays and no half file remains beside it."""
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(file):
        file.write(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
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
