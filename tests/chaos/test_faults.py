"""The table of faults, the command that injects them, and the table that the README shows."""

import ast
import json
import re
import sys
import types
from pathlib import Path

import pytest

from tests.bench import page, record
from tests.chaos import __main__ as command
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.outcome import Outcome
from tests.chaos.progress import report
from tests.chaos.record import markdown_table

FOLDER = Path(__file__).parent
README = (FOLDER.parents[1] / "README.md").read_text()
SHOWN = re.compile(r"<!-- (chaos-[\w-]+) -->\n(.*?)<!-- end of \1 -->", re.S)


def modules() -> list[str]:
    """Modules of this folder that define ``inject``."""
    trees = {path.stem: ast.parse(path.read_text()) for path in FOLDER.glob("*.py")}
    return [
        name
        for name, tree in trees.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "inject" for node in tree.body)
    ]


def test_the_table_and_the_folder_hold_the_same_faults():
    """No module is left out of the command, and no row is without a module."""
    assert sorted(fault.name for fault in FAULTS) == sorted(modules())


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_every_fault_has_a_quick_test(name):
    """It injects a few, and asks for what was injected and contained."""
    text = (FOLDER / f"test_{name}.py").read_text()
    assert "inject(" in text and "outcome.injected == outcome.contained == " in text


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_says_what_it_is(fault):
    """A sentence that fits a table's cell, and counts of which the quick one is the smaller."""
    assert fault.sentence and "|" not in fault.sentence and "\n" not in fault.sentence
    assert 0 < fault.quick <= fault.full


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Let the command know one fault, whose module is made up, and keep its records apart."""
    for module in (record, page):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")

    def make(inject, name="made_up", full=4):
        fault = Fault(name, f"{name}: nothing happens", quick=1, full=full)
        others = [f for f in command.FAULTS if f not in FAULTS]
        monkeypatch.setattr(command, "FAULTS", [*others, fault])
        if inject is not None:
            module = types.ModuleType(f"tests.chaos.{name}")
            module.inject = inject
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return make


def contained(count, folder):
    """All of them."""
    (folder / "litter").touch()
    report(count)
    return Outcome(count, count, {"seconds": 1.5})


def fail(count, folder):
    """None of them."""
    raise RuntimeError("the fork is missing\nsecond line")


@pytest.mark.parametrize(
    ("inject", "code"),
    [
        (contained, 0),
        (lambda count, folder: Outcome(count, count - 1), 1),
        (lambda count, folder: Outcome(count - 1, count - 1), 1),
        (lambda count, folder: Outcome(0, 0), 1),
        (fail, 1),
        (None, 1),
    ],
    ids=["contained", "one is not", "one did not fire", "none fired", "an error", "no module"],
)
def test_the_exit_code_says_whether_all_were_contained(fake, inject, code):
    """0 only when as many as were asked for fired, and all of them were contained."""
    fake(inject)
    assert command.main([]) == code


def test_an_error_does_not_hide_the_other_faults(fake, capsys):
    """The next fault is injected; the table and the JSON name the error's first line."""
    fake(fail, "broken")
    fake(contained, "whole")
    assert command.main(["--json"]) == 1
    captured = capsys.readouterr()
    rows = json.loads(captured.out.splitlines()[-1])["rows"]
    assert [(row["fault"], row["error"]) for row in rows] == [
        ("broken", "RuntimeError: the fork is missing"),
        ("whole", None),
    ]
    assert "whole: 4 of 4" in captured.err and "broken: NOT contained" in captured.err


def test_quick_injects_fewer(fake, capsys):
    """The quick count; it cannot be recorded."""
    fake(contained)
    assert command.main(["--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"][0]["injected"] == 1
    with pytest.raises(SystemExit):
        command.main(["--quick", "--record", "here"])
    assert "not for --quick" in capsys.readouterr().err


def test_a_record_keeps_the_rows_of_other_faults(fake, capsys):
    """One fault can be recorded anew; the page and --show have both rows."""
    fake(contained, "first")
    fake(contained, "second")
    assert command.main(["--record", "here"]) == 0
    fake(lambda count, folder: Outcome(count, 3), "second")
    assert command.main(["--record", "here", "--only", "second"]) == 1
    found = record.read_record("chaos-here")
    assert found["kind"] == "chaos" and found["torch"] and found["processor"]
    assert [(row["fault"], row["contained"]) for row in found["rows"]] == [
        ("first", 4),
        ("second", 3),
    ]
    assert all(row["commit"] and row["date"] for row in found["rows"])
    capsys.readouterr()
    assert command.main(["--show", "here"]) == 0
    table = capsys.readouterr().out
    assert table == markdown_table(found) and table in page.PAGE.read_text()
    # What is not contained stands first.
    assert table.index("| second: nothing happens | 4 | 3 |  |") < table.index("| first")


def test_the_readme_shows_the_recorded_table():
    """Between its markers stands what ``--show`` prints, of a record that has all faults."""
    shown = dict(SHOWN.findall(README))
    assert bool(shown) == bool(record.read_records("chaos"))
    for name, text in shown.items():
        found = record.read_record(name)
        assert text == f"\n{markdown_table(found)}\n"
        assert {row["fault"] for row in found["rows"]} == {fault.name for fault in FAULTS}
