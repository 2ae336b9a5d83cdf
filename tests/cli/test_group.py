"""Commands of two words."""

from importlib import import_module

import pytest

from dlplug.cli import bench, check, config, new, plugins, runs, tune
from dlplug.plugin.builtins import TABLE

GROUPS = {
    "tune": tune,
    "check": check,
    "bench": bench,
    "config": config,
    "new": new,
    "plugins": plugins,
    "runs": runs,
}


@pytest.mark.parametrize(("name", "module"), GROUPS.items())
def test_the_first_word_alone_shows_its_forms(command, name, module):
    """With one line about each."""
    done = command(name)
    assert done.code == 0 and done.out == command(name, "--help").out
    for word, form in module.FORMS.items():
        usage = f"python -m dlplug {name} {word} {form.usage}\n"
        assert usage in done.out and f"{word}: " in done.out
        assert " ".join(form.about.split())[:40] in " ".join(done.out.split())


def test_the_nearest_form_is_suggested(command):
    """With what there is."""
    assert command("check", "overfti").err == (
        "UnknownKeyError: no command 'check overfti'\n"
        "  where: command line\n"
        "  known: check overfit, check gradients\n"
        "  fix:   did you mean 'check overfit'?\n"
    )


@pytest.mark.parametrize(("name", "module"), GROUPS.items())
def test_every_form_can_be_run(command, name, module):
    """Its function exists, and its own page is one of its usage lines."""
    for word, form in module.FORMS.items():
        assert callable(form.load())
        done = command(name, word, "--help")
        assert done.code == 0 and done.out.startswith(f"usage: python -m dlplug {name} {word} ")


def test_every_command_of_two_words_is_here():
    """Another one would have a dispatch of its own."""
    commands = (row.target.partition(":")[0] for row in TABLE if row.kind == "commands")
    found = {m.rpartition(".")[2] for m in commands if hasattr(import_module(m), "FORMS")}
    assert found == GROUPS.keys()
