"""Files that are whole when they take a name that nobody has."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from dlplug.errors import StorageError
from dlplug.storage.files import remove_litter
from dlplug.storage.new_names import write_new

ROOT = Path(__file__).parents[2]


def names(folder):
    return (folder / f"x-{number}" for number in count(1))


def written(folder, text="all of it", suffixes=(".npz", ".csv")):
    return write_new(
        {suffix: lambda file: file.write(text.encode()) for suffix in suffixes}, names(folder)
    )


@pytest.mark.parametrize("has_links", [True, False])
def test_the_first_free_name_of_all(tmp_path, monkeypatch, has_links):
    """One that is taken with any suffix is taken; nothing else is left, nor overwritten."""
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError("no")))
    (tmp_path / "x-1.csv").write_text("others'")
    (tmp_path / "x-2.npz").write_text("others'")
    assert written(tmp_path) == {s: tmp_path / f"x-3{s}" for s in (".npz", ".csv")}
    assert written(tmp_path, "two", [".csv"]) == {".csv": tmp_path / "x-2.csv"}
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    others = {"x-1.csv": "others'", "x-2.npz": "others'"}
    assert found == others | {"x-2.csv": "two"} | dict.fromkeys(["x-3.csv", "x-3.npz"], "all of it")


def test_a_failure_leaves_nothing(tmp_path):
    """Of the content, and of a name that cannot be taken."""

    def fail(file):
        file.write(b"half")
        raise OSError("no space left on device")

    with pytest.raises(StorageError, match=r"x-1\.csv cannot be written: no space"):
        write_new({".npz": lambda file: None, ".csv": fail}, names(tmp_path))
    assert not os.listdir(tmp_path)


KILLED = """
import os, signal, sys
from itertools import count
from pathlib import Path
from dlplug.storage.new_names import write_new

def kill_before(number):
    calls = iter(range(number))
    def event(name, arguments):
        # Everything that touches the folder.
        if name.startswith(("open", "os.")) and sys.argv[1] in str(arguments):
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(event)

folder = Path(sys.argv[1])
for number in range(100):
    if not os.fork():
        place = folder / f"{number}"
        place.mkdir()
        kill_before(number)
        text = lambda file: file.write(b"all of it")
        write_new({".npz": text, ".csv": text}, (place / f"x-{n}" for n in count(1)))
        os._exit(0)
    if os.wait()[1] == 0:
        print(number)
        break
"""


def test_a_kill_leaves_no_empty_file(tmp_path):
    """Before each of its calls: whole files or none, and the first before the last."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    number = int(done.stdout)
    assert number >= 6  # kills: two files are made, named and unnamed
    seen = set()
    for place in tmp_path.iterdir():
        remove_litter(place)
        found = {path.suffix: path.read_text() for path in place.iterdir()}
        assert set(found.values()) <= {"all of it"}
        seen.add(tuple(sorted(found)))
    assert seen == {(), (".npz",), (".csv", ".npz")}


def test_a_training_that_goes_on_takes_no_file_away(tmp_path):
    """It removes litter of its folder, in which another process may be writing a table."""

    def write(file):
        file.write(b"all of it")
        assert not remove_litter(tmp_path)

    files = write_new({".csv": write}, names(tmp_path))
    assert files[".csv"].read_text() == "all of it"
