"""Trees of values with origins."""

from dlplug.config.document import parse
from dlplug.config.tree import COMMAND_LINE, DEFAULTS, Node, Origin, from_plain


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
    assert str(new.nearest(["a"]).origin) == "f, line 1"
    assert str(new.nearest(["c"]).origin) == "upgraded"


def test_rewritten_scalars_that_stay_keep_their_text():
    """A name of digits stays what was typed; a default that is replaced is no default."""
    old = Node({"name": Node(7, COMMAND_LINE, "007"), "loss": Node("mse", DEFAULTS)}, COMMAND_LINE)
    same = from_plain({"name": 7, "loss": "mse"}, Origin("upgraded"), like=old)
    assert same == old
    new = from_plain({"name": True, "loss": "mae"}, Origin("upgraded"), like=old)
    assert new.value["name"].text is None and str(new.value["loss"].origin) == "upgraded"
