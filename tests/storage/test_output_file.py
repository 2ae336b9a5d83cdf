"""Files that a user names: written behind links, into devices and pipes, and never over those."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dlplug.errors import ConfigError, StorageError
from dlplug.storage.output_file import check_output, scratch_folder, write_output


def test_a_device_stays_a_device(tmp_path):
    """One of its own where that may be made, as by root, who could replace the system's."""
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.open("wb").close()
    except PermissionError:
        device.unlink(missing_ok=True)
        device.symlink_to(os.devnull)
    check_output(device)
    assert scratch_folder(device) != tmp_path
    write_output(device, lambda file: file.write(b"abc"))
    assert device.is_char_device()


def test_what_a_device_refuses_is_told():
    """As of a full disk."""
    with pytest.raises(StorageError, match="/dev/full cannot be written: No space left on device"):
        write_output(Path("/dev/full"), lambda file: file.write(b"abc"))


def test_a_file_takes_the_name_at_once(tmp_path):
    """That behind a link keeps the link; an error leaves what was there."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    link.symlink_to(file)

    def fail(opened):
        opened.write(b"new")
        raise OSError("full")

    with pytest.raises(StorageError):
        write_output(link, fail)
    assert file.read_bytes() == b"old"
    write_output(link, lambda opened: opened.write(b"new"))
    assert file.read_bytes() == b"new" and link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_folders_are_refused(tmp_path):
    """So is a name in a folder that is not there."""
    with pytest.raises(ConfigError, match="is a folder") as error:
        check_output(tmp_path)
    assert error.value.fix == f"name a file in it, such as {tmp_path / 'predictions.csv'}"
    with pytest.raises(ConfigError, match="no does not exist"):
        check_output(tmp_path / "no" / "x.csv")


def test_its_own_output_is_not_replaced(tmp_path):
    """What a command prints afterwards comes behind it in the same file."""
    script = (
        "from pathlib import Path; from dlplug.storage.output_file import write_output\n"
        "print('before'); write_output(Path('/dev/stdout'), lambda file: file.write(b'rows\\n'))\n"
        "print('behind')"
    )
    with (tmp_path / "output").open("wb") as output:
        subprocess.run([sys.executable, "-c", script], stdout=output, check=True)
    assert (tmp_path / "output").read_text().split() == ["before", "rows", "behind"]


def test_a_process_without_an_output_can_write(tmp_path):
    """Such as a service, whose standard output is closed."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from dlplug.storage.output_file import check_output, write_output\n"
        "os.close(1); path = Path(sys.argv[1]); check_output(path)\n"
        "write_output(path, lambda file: file.write(b'new'))"
    )
    (tmp_path / "output").write_bytes(b"old")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "output")], check=True)
    assert (tmp_path / "output").read_bytes() == b"new"
