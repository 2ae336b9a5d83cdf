"""Commands, and the options that every command takes."""

import pytest

import dlplug
from dlplug.cli.dispatch import COMMANDS, take_plugin_options
from dlplug.errors import InvalidValueError

PLUGIN = """
def greet(arguments, registry):
    print("hello", arguments, [plugin.name for plugin in registry.plugins()])
"""


@pytest.fixture
def greeter(fake_distribution):
    fake_distribution(
        "acme-greet",
        entry_points={"dlplug.commands": {"greet": "acme_greet:greet"}},
        modules={"acme_greet": PLUGIN},
        summary="Says hello.",
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(command, greeter, arguments):
    """Built-in ones and those of plugins, with a line each."""
    done = command(*arguments)
    assert done.code == 0
    for name, built_in in COMMANDS.items():
        assert f"  {name:<19} {built_in.summary}" in done.out
    assert f"  {'greet':<19} Says hello. (acme-greet 1.0)" in done.out


def test_the_version_is_printed(command):
    """One line."""
    assert command("--version").out == f"dlplug {dlplug.__version__}\n"


def test_a_plugin_can_bring_a_command(command, greeter):
    """It gets its arguments and the registry; no return value means success."""
    done = command("greet", "a", "--b")
    assert (done.code, done.out) == (0, "hello ['a', '--b'] ['dlplug', 'acme-greet']\n")


def test_an_unknown_command_gets_a_suggestion(command, greeter):
    """Among all commands."""
    done = command("gret")
    assert done.code == 2
    assert done.err == (
        "UnknownKeyError: no command 'gret'\n"
        "  where: command line\n"
        "  known: fit, validate, test, predict, plugins, doctor, greet\n"
        "  fix:   did you mean 'greet'?\n"
    )
    assert "no option --jsn before the command" in command("--jsn", "fit").err


def test_a_blocked_command_says_so(command, greeter):
    """Blocking is no typing error."""
    done = command("greet", "--block", "acme-greet")
    assert done.code == 2 and "disabled" in done.err and "--block" in done.err


def test_plugin_options_stand_anywhere():
    """Before or behind the command, as two words or with an equals sign."""
    rest, options = take_plugin_options(
        ["--strict", "fit", "--block", "a,b", "--x", "1", "--block=c", "--traceback"]
    )
    assert rest == ["fit", "--x", "1"]
    assert (options.block, options.allow, options.is_strict) == (("a", "b", "c"), None, True)
    assert take_plugin_options(["--allow", "a"])[1].allow == ("a",)


@pytest.mark.parametrize("arguments", [["--block"], ["--block", "--json"], ["--allow="]])
def test_a_plugin_option_needs_a_name(arguments):
    """Nothing is blocked by accident."""
    with pytest.raises(InvalidValueError, match="needs a name"):
        take_plugin_options(arguments)


def test_a_name_that_matches_nothing_is_refused(command):
    """Most likely a typing error."""
    done = command("plugins", "list", "--block", "mnit")
    assert done.code == 2 and "no installed plugin or component is named 'mnit'" in done.err
    assert "did you mean 'mnist'?" in done.err
