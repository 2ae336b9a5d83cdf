"""Patterns for paths: what they find, and which are refused."""

from pathlib import Path

import pytest

from dlplug.data.path_keys import check_pattern, file_keys, is_pattern, path_keys
from dlplug.errors import DataError, InvalidValueError


def test_the_group_of_the_first_match_counts():
    """Anywhere in the path below the folder; the folder's own name plays no part."""
    folder = Path("patient0/data")
    files = [folder / "cat/patient17_1.png", folder / "dog/patient3/patient4.png"]
    assert file_keys("patient([0-9]+)", files, folder).texts("group") == ["17", "3"]
    assert file_keys(None, files, folder) is None


def test_a_path_without_a_match_is_named():
    """With the pattern; so is one whose group took no part in the match."""
    for pattern in ("patient([0-9]+)", "b|(c)"):
        found = path_keys(pattern, ["patient1/c", "b"], lambda record: f"record {record}")
        with pytest.raises(DataError) as error:
            found.texts("group")
        assert error.value.what == f"record 1, data.split_by {pattern!r}: the group is missing"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("patient[0-9]+", "has 0 groups"),
        ("(a)(b)", "has 2 groups\n.*such as 'patient.*\n  fix:   put what says"),
        ("(a", "is no regular expression: missing \\)"),
    ],
)
def test_other_patterns_are_refused(pattern, message):
    """What is known is one group."""
    with pytest.raises(InvalidValueError, match=message):
        check_pattern(pattern)


def test_patterns_that_will_do():
    """Groups that are not counted are no second group."""
    for pattern in (None, "(train|val)", "(?:a|b)([0-9])"):
        assert check_pattern(pattern) is None
    assert is_pattern("(a)") and not is_pattern("patient") and not is_pattern(None)


def test_a_pattern_that_is_found_nowhere_is_told_as_a_whole():
    """Not as a fault of the first file."""
    with pytest.raises(DataError, match=r"matches none of 2 paths, such as 'patient1/a.png'"):
        path_keys("patent([0-9]+)", ["patient1/a.png", "patient2/b.png"], str)
