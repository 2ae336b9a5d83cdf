"""The page about configs."""

import re
from pathlib import Path

import dlplug.config

FOLDER = Path(dlplug.config.__file__).parent
ROW = re.compile(r"^\| `(\w+\.py)` \| (.+) \|$", re.M)


def test_the_table_of_files_names_exactly_the_files_there_are():
    """Each once, with a line about it."""
    rows = ROW.findall((FOLDER / "README.md").read_text())
    assert sorted(name for name, _ in rows) == sorted(path.name for path in FOLDER.glob("*.py"))


def test_every_test_file_is_about_a_file():
    """By its name; the page and the folder of configs have tests of their own."""
    tested = {path.name.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert tested - {"readme.py", "configs.py"} <= {path.name for path in FOLDER.glob("*.py")}
