"""What a fresh interpreter tells of imports."""

import json
import subprocess

import pytest

from dlplug.plugin import Registry
from dlplug.testing.imports import MARK, import_report, libraries_behind, read_report
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


def test_the_beginning_of_a_line_hides_no_report(fake_distribution):
    """A module that says what it does, without ending the line, is as sound as another."""
    source = "import sys\nsys.__stdout__.write('loading...')\nclass Loss: pass\n"
    lines = {"dlplug.losses": {"loud": "acme_loud:Loss"}}
    fake_distribution("acme-loud", entry_points=lines, modules={"acme_loud": source})
    import_report.cache_clear()
    assert import_report(Registry.discover(), "acme-loud")["acme_loud:Loss"]["error"] is None


def test_only_the_module_that_ends_the_interpreter_is_blamed(fake_distribution):
    """Those before it keep their report; those behind it are imported in another."""
    good, end = "class Loss: pass", "import os; os._exit(3)"
    modules = {"acme_end_1": good, "acme_end_2": end, "acme_end_3": good}
    lines = {name: f"{name}:Loss" for name in modules}
    fake_distribution("acme-end", entry_points={"dlplug.losses": lines}, modules=modules)
    import_report.cache_clear()
    report = import_report(Registry.discover(), "acme-end")
    assert {target: found["error"] for target, found in report.items()} == {
        "acme_end_1:Loss": None,
        "acme_end_2:Loss": "it ends the interpreter with code 3: it said nothing",
        "acme_end_3:Loss": None,
    }


HOOKS = {
    "prints_at_exit": (
        """
        import atexit
        from dlplug import hookimpl
        atexit.register(print, "bye")

        @hookimpl
        def dlplug_components(kind):
            print("asked", end="")
        """,
        "",
    ),
    "object_with_specname": (
        """
        from dlplug import hookimpl

        class Hooks:
            @hookimpl(specname="dlplug_components")
            def offered(self, kind):
                return {f"acme.{kind}": "acme:D"}

        hooks = Hooks()
        """,
        ":hooks",
    ),
    "offers_no_names": (
        """
        from dlplug import hookimpl

        @hookimpl
        def dlplug_health():
            return []
        """,
        "",
    ),
    "takes_no_kind": (
        """
        from dlplug import hookimpl

        @hookimpl
        def dlplug_components():
            return {}
        """,
        "",
    ),
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_asked_for_their_names_as_listing_asks(name, fake_distribution):
    """Whatever form they have."""
    source, attribute = HOOKS[name]
    fake_distribution("acme-hooks", modules={f"acme_{name}": source})
    assert libraries_behind(f"acme_{name}{attribute}") == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no\\nfile')", "fails: dlplug_components raised ValueError: no"),
        ("import os; os._exit(3)", "ends with code 3: it said nothing"),
    ],
)
def test_hooks_that_fail_are_told(body, reason, fake_distribution):
    """With their own error, not with the program that was run."""
    source = f"import dlplug\n@dlplug.hookimpl\ndef dlplug_components(kind):\n    {body}\n"
    fake_distribution("acme-hooks", modules={"acme_failing": source})
    with pytest.raises(Broken) as caught:
        libraries_behind("acme_failing")
    assert reason in str(caught.value) and "json" not in str(caught.value)
