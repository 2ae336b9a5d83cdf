"""Tables and JSON."""

import json

from dlplug.cli.answer import FILE_WIDTH, print_answer, print_json
from dlplug.cli.options import Parsed


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_json_is_json(capsys):
    """One line; numbers that JSON does not have are text, at any depth."""
    print_json({"a": float("nan"), "b": [1.5, {"c": -float("inf")}]})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line, parse_constant=refuse) == {"a": "nan", "b": [1.5, {"c": "-inf"}]}


def test_a_table_shows_its_cells_as_they_are(capsys):
    """Brackets are no markup, and a file is wider than a terminal."""
    rows = [("blocks[red]", "x" * (FILE_WIDTH - 40))]
    print_answer(Parsed(), {}, [("name", "left"), ("value", "right")], rows, ["[bold]done"])
    out = capsys.readouterr().out
    assert "blocks[red]" in out and rows[0][1] in out and out.endswith("[bold]done\n")


def test_with_json_there_is_no_table(capsys):
    """The object is all that is printed."""
    print_answer(Parsed({"json": True}), {"a": 1}, [("name", "left")], [("x",)], ["done"])
    assert capsys.readouterr().out == '{"a": 1}\n'
