"""Where pictures can go."""

from pathlib import Path

import pytest

from dlplug.diagnostics.picture import check_picture_path
from dlplug.errors import ConfigError


def test_a_path_is_checked_before_the_work(tmp_path):
    """Another kind of file, and a folder that is not there."""
    assert check_picture_path(tmp_path / "a.png") == tmp_path / "a.png"
    with pytest.raises(ConfigError, match=r"a.txt is no picture"):
        check_picture_path(Path("a.txt"))
    with pytest.raises(ConfigError, match=r"the folder .*/none does not exist"):
        check_picture_path(tmp_path / "none/a.png")
