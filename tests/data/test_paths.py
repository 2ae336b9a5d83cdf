"""resolve_path: files, folders, and files inside installed packages."""

import numpy
import pytest

from dlplug.data.paths import resolve_path
from dlplug.errors import DataError


def test_files_and_folders_are_themselves(tmp_path, monkeypatch):
    """Absolute, relative, and from the home folder."""
    (tmp_path / "a.txt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_path(tmp_path) == tmp_path
    assert resolve_path("a.txt").resolve() == tmp_path / "a.txt"
    assert resolve_path("~/a.txt") == tmp_path / "a.txt"


def test_a_package_gives_its_files():
    """By the name that one imports."""
    assert resolve_path("package:numpy/__init__.py").samefile(numpy.__file__)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("package:numpy", "names no file of a package\n  known: package:NAME/inner/path"),
        ("package:numpy/../x", "names no file of a package"),
        ("package:no_such_package/a.txt", "no package 'no_such_package' is installed"),
        ("package:numpy/__intt__.py", "did you mean '__init__.py'"),
        ("nowhere/a.txt", "the folder nowhere does not exist"),
    ],
)
def test_what_does_not_exist_is_named(path, message):
    """With what is there."""
    with pytest.raises(DataError) as error:
        resolve_path(path)
    assert message in str(error.value)
