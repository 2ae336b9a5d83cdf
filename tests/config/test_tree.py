"""Trees of values with origins."""

from dlplug.config.document import parse
from dlplug.config.tree import COMMAND_LINE, Origin, from_plain


def test_an_origin_reads_as_file_and_line():
    """Lines are named where there are any."""
    assert str(Origin("a.yaml", 7)) == "a.yaml, line 7"
    assert str(COMMAND_LINE) == "command line"


def test_nearest_stops_at_the_last_key_that_exists():
    """The place of something missing is the place of what should hold it."""
    tree = parse("a:\n  b: 1\n", "f")
    assert tree.nearest(["a", "c", "d"]).origin.line == 1
    assert tree.nearest(["a", "b", "c"]).origin.line == 2


def test_rewritten_data_keeps_the_origins_of_what_stays():
    """Values at their old place keep it; new ones have the new origin."""
    old = parse("a: 1\nb: [x, y]\n", "f")
    new = from_plain({"a": 2, "b": ["x", "z"], "c": 3}, Origin("upgraded"), like=old)
    assert new.plain() == {"a": 2, "b": ["x", "z"], "c": 3}
    assert str(new.nearest(["b", "1"]).origin) == "f, line 2"
    assert str(new.nearest(["c"]).origin) == "f, line 1"
