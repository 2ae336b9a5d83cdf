"""Hashes of code."""

import hashlib

from dlplug.plugin.hashes import file_hash, python_files, tree_hash


def test_a_file_has_the_hash_that_everybody_computes(tmp_path):
    """SHA-256 of its bytes; none where there is no file."""
    path = tmp_path / "a.py"
    path.write_bytes(b"x = 1\n")
    assert file_hash(path) == tree_hash(path) == hashlib.sha256(b"x = 1\n").hexdigest()
    assert file_hash(tmp_path) is file_hash(None) is tree_hash(tmp_path / "no.py") is None


def test_a_folder_is_its_python_files(tmp_path):
    """With their names and places; not what tools leave behind."""
    for name in ("b.py", "a/b.py", "a/notes.txt", "__pycache__/a.py", ".git/hook.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert python_files(tmp_path) == [tmp_path / "a" / "b.py", tmp_path / "b.py"]
    first = tree_hash(tmp_path)
    (tmp_path / "a" / "notes.txt").unlink()
    (tmp_path / ".git" / "hook.py").write_text("other")
    assert tree_hash(tmp_path) == first
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert tree_hash(tmp_path) != first
