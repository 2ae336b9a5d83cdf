"""What a fresh interpreter tells of imports."""

import json
import subprocess

import pytest

from dlplug.testing.imports import MARK, read_report
from dlplug.testing.rule import Broken


def done(stdout, code=0, stderr=""):
    return subprocess.CompletedProcess([], code, stdout, stderr)


def test_modules_may_print():
    """While they are imported, and when the interpreter ends."""
    report = {"acme:Net": {"seconds": 0.1, "asked": [], "error": None}}
    assert read_report(done(f"hello\n{MARK}{json.dumps(report)}\nbye\n")) == report


@pytest.mark.parametrize(
    ("stderr", "last"), [("", "it said nothing"), ("Fatal\nno \x1b[1mlicence\n", "no [1mlicence")]
)
def test_a_module_that_ends_the_interpreter_is_told(stderr, last):
    """Not the program that was run."""
    with pytest.raises(Broken) as caught:
        read_report(done("hello\n", 5, stderr))
    assert str(caught.value) == (f"a fresh interpreter that imports it ends with code 5: {last}")
