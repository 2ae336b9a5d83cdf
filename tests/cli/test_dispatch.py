"""Commands, and the options that every command takes."""

import pytest

import dlplug
from dlplug.cli.dispatch import take_plugin_options
from dlplug.errors import InvalidValueError
from dlplug.plugin.builtins import TABLE

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


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"], ["--strict", "-h"]])
def test_help_lists_every_command(command, greeter, arguments):
    """Built-in ones and those of plugins, with a line each; the plugin options count."""
    done = command(*arguments)
    assert done.code == 0
    rows = [f"  {row.name:<19} {row.summary}\n" for row in TABLE if row.kind == "commands"]
    assert len(rows) > 9 and "".join(rows) in done.out
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
        "UnknownComponentError: no command named 'gret'\n"
        "  where: command line\n"
        f"  known: {', '.join(sorted(r.name for r in TABLE if r.kind == 'commands'))} "
        f"(dlplug {dlplug.__version__}), "
        "greet (acme-greet 1.0)\n"
        "  fix:   did you mean 'greet'? list all: python -m dlplug plugins list --kind commands\n"
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


def test_a_blocked_command_is_not_on_the_page(command, greeter):
    """The page shows what can be used."""
    assert "greet" not in command("--block", "acme-greet", "--help").out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["help", "nonsense"], "no command named 'nonsense'"),
        (["--help", "fit"], "unexpected argument 'fit' after --help"),
        (["--version", "junk"], "unexpected argument 'junk' after --version"),
        (["--block", "nobody", "--help"], "no installed plugin or component is named 'nobody'"),
    ],
)
def test_nothing_beside_help_and_version_is_ignored(command, arguments, what):
    """A word that means nothing there is an error."""
    done = command(*arguments)
    assert done.code == 2 and what in done.err


def test_help_shows_the_page_of_a_command(command):
    """``help doctor`` is ``doctor --help``."""
    done = command("help", "doctor")
    assert done.code == 0 and done.out == command("doctor", "--help").out


def test_a_command_that_shares_its_name_with_a_built_in_one_is_reached_by_id(
    command, fake_distribution
):
    """The short name is ambiguous, as for components; both ids work, and the error names them."""
    fake_distribution(
        "acme-fit",
        entry_points={"dlplug.commands": {"fit": "acme_fit:fit"}},
        modules={"acme_fit": "def fit(arguments, registry): print('acme', arguments)"},
    )
    done, core = command("fit", "--help"), f"dlplug {dlplug.__version__}"
    assert done.code == 2 and done.err == (
        f"ComponentConflictError: command 'fit': provided by {core} and acme-fit 1.0\n"
        "  where: command line\n"
        f"  known: dlplug:fit = dlplug.cli.fit:main ({core}); "
        "acme-fit:fit = acme_fit:fit (acme-fit 1.0)\n"
        "  fix:   write the full id, 'dlplug:fit' or 'acme-fit:fit'; "
        "or block one: --block acme-fit:fit (or DLPLUG_BLOCK)\n"
    )
    assert command("dlplug:fit", "--help").out.startswith("usage: python -m dlplug fit")
    assert command("acme-fit:fit", "x").out == "acme ['x']\n"
    assert command("fit", "--help", "--block", "acme-fit").code == 0
    assert "  dlplug:fit " in command("--help").out and "  acme-fit:fit " in command("--help").out


def test_a_command_may_come_from_a_hook(command, fake_distribution):
    """Hooks are asked when no entry point has the name."""
    source = """
        from dlplug import hookimpl

        def wave(arguments, registry):
            print("waves", arguments)

        @hookimpl
        def dlplug_components(kind):
            return {"wave": wave} if kind == "commands" else None
    """
    fake_distribution(
        "acme-wave", entry_points={"dlplug": {"hooks": "acme_wave"}}, modules={"acme_wave": source}
    )
    assert command("wave", "x").out == "waves ['x']\n"
