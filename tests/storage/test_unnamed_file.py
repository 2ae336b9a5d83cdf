"""UnnamedFile: bytes that nobody sees before they are complete."""

import io

import pytest

from dlplug.errors import StorageError
from dlplug.storage.files import remove_litter
from dlplug.storage.unnamed_file import UnnamedFile


def test_nobody_sees_it(tmp_path):
    """It has no name, and is copied whole."""
    made = UnnamedFile(tmp_path / "x.csv")
    assert [made.write(b"abc"), made.write(b"de", 8)] == [0, 8]
    assert not list(tmp_path.iterdir()) and not remove_litter(tmp_path)
    copy = io.BytesIO()
    made.copy_to(copy)
    assert copy.getvalue() == b"abc" + bytes(5) + b"de"
    made.close()


def test_a_full_disk_is_told_once(tmp_path):
    """What it did not take is not told again when the file is closed."""
    made = UnnamedFile(tmp_path / "x.csv")
    made.close()
    made.file = open("/dev/full", "w+b")  # noqa: SIM115 - closed below
    with pytest.raises(StorageError, match=r"x\.csv cannot be written: No space left on device"):
        made.write(b"a")
    made.close()
    assert made.file.closed
    with pytest.raises(StorageError, match="cannot be written"):
        UnnamedFile(tmp_path / "missing" / "x.csv").write(b"a")


def test_nothing_is_opened_for_nothing(tmp_path):
    """One that nobody writes to needs no folder."""
    UnnamedFile(tmp_path / "missing" / "x.csv").close()
