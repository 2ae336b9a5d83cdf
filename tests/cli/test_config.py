"""``config schema``."""

import json
import subprocess
import sys

import pytest

from dlplug.config import schema as schema_module
from dlplug.plugin import Registry


@pytest.fixture
def few(monkeypatch):
    """Only losses, so that a test imports little."""
    monkeypatch.setattr(schema_module, "TRAITS", {"losses": schema_module.TRAITS["losses"]})


def test_the_schema_is_printed(command, few):
    """As JSON and nothing else."""
    done = command("config", "schema")
    assert done.code == 0 and "architecture" in json.loads(done.out)["properties"]


def test_the_schema_is_written(command, few, tmp_path):
    """With how an editor finds it; folders are made."""
    done = command("config", "schema", "--output", "configs/schema.json")
    assert "# yaml-language-server: $schema=schema.json" in done.out
    assert json.loads((tmp_path / "configs" / "schema.json").read_text())["$defs"]


def test_what_plugins_print_is_no_part_of_it(command, few, fake_distribution):
    """It goes to standard error. Without --load nothing of it runs, and that is said."""
    fake_distribution(
        "acme",
        entry_points={"dlplug.losses": {"acme_dice": "acme_c:dice"}},
        modules={"acme_c": "print('noise')\ndef dice(output, target): ..."},
    )
    done = command("config", "schema")
    told = "any argument is valid where none is known: acme:acme_dice; --load imports them\n"
    assert json.loads(done.out) and done.err == told
    done = command("config", "schema", "--load")
    assert json.loads(done.out) and done.err == "noise\n"
    assert command("config", "schema").err == ""


# Sources that are edited between the two processes would rightly be read anew.
SECOND = """
import sys
from dlplug.cli import main
from dlplug.config import facts_cache
facts_cache.core_stamp = lambda: "unchanged"
assert main(["config", "schema", "--output", "schema.json"]) == 0
print([m for m in ("torch", "lightning", "jsonargparse", "sklearn", "acme_c") if m in sys.modules])
"""


def test_the_second_time_nothing_is_imported(tmp_path, private_memory):
    """Facts are kept for each version of a distribution."""
    answers = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SECOND], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        answers.append(((tmp_path / "schema.json").read_text(), done.stdout.splitlines()[-1]))
    assert "'torch', 'lightning'" in answers[0][1] and answers[1][1] == "[]"
    assert answers[0][0] == answers[1][0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["schma"], "did you mean 'config schema'?"),
        (["schema", "x"], "unexpected argument 'x'"),
        (["--output", "x"], "config needs a second word before --output"),
        (["schema", "--outptu", "x"], "did you mean '--output'?"),
    ],
)
def test_wrong_arguments_are_errors_with_a_fix(command, arguments, text):
    """Each with what was meant."""
    done = command("config", *arguments)
    assert done.code == 2 and text in done.err


def test_a_place_that_cannot_be_written_is_an_error(command, few, tmp_path):
    """Named with its reason."""
    (tmp_path / "taken").write_text("")
    done = command("config", "schema", "--output", "taken/schema.json")
    assert done.code == 2 and "cannot write 'taken/schema.json'" in done.err


def test_help_says_how_to_point_an_editor_at_it(command):
    """With and without a word."""
    out = command("config").out
    assert out == command("config", "--help").out
    for page in (out, command("config", "schema", "--help").out):
        assert '"yaml.schemas"' in page
    assert Registry.discover().find("command", "config").summary
