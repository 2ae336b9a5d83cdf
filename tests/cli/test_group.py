"""Commands of two words."""

import pytest

from dlplug.cli import check, tune


@pytest.mark.parametrize(("name", "module"), [("tune", tune), ("check", check)])
def test_the_first_word_alone_shows_its_forms(command, name, module):
    """With one line about each."""
    done = command(name)
    assert done.code == 0 and done.out == command(name, "--help").out
    for form, (_, summary) in module.FORMS.items():
        assert f"python -m dlplug {name} {form} " in done.out and f"{form}: {summary}" in done.out


def test_the_nearest_form_is_suggested(command):
    """With what there is."""
    assert command("check", "overfti").err == (
        "UnknownKeyError: no command 'check overfti'\n"
        "  where: command line\n"
        "  known: check overfit, check gradients\n"
        "  fix:   did you mean 'check overfit'?\n"
    )
