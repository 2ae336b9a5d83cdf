"""``plugins list`` and ``plugins info``: what they print."""

import json

import pytest

from dlplug.cli.plugins import main
from dlplug.errors import InvalidValueError, UnknownComponentError, UnknownKeyError
from dlplug.plugin import Registry, Status

DICE = '''
    class Dice:
        """Overlap of two masks.

        Args:
            smooth: Added to both areas.
        """

        def __init__(self, smooth: float = 1.0, *, classes: "tuple[int, ...]", verbose=False):
            pass
'''


@pytest.fixture
def installed(fake_distribution):
    """A sound loss, one that fails to import, one in conflict with the built-in, and hooks."""
    fake_distribution(
        "acme-losses",
        "2.3",
        summary="Losses for masks, which is a summary of quite some length to be shortened.",
        entry_points={
            "dlplug.losses": {
                "acme_dice": "acme_losses.acme_dice:Dice",
                "focal": "acme_losses.acme_dice:Dice",
                "broken": "acme_losses.broken:Broken",
            },
            "dlplug.loses": {"lost": "acme_losses.acme_dice:Dice"},
            "dlplug": {"hooks": "acme_losses.hooks"},
        },
        modules={
            "acme_losses.acme_dice": DICE,
            "acme_losses.broken": "print('noise'); import no_such_module",
            "acme_losses.hooks": """
                from dlplug import hookimpl

                @hookimpl
                def dlplug_components(kind):
                    if kind == "losses":
                        return {"acme.hidden": "acme_losses.acme_dice:Dice"}
            """,
        },
        requires=["torch"],
    )


@pytest.fixture
def run(capsys):
    """Run the command and return its output."""

    def run_command(*argv):
        assert main(list(argv), Registry.discover()) == 0
        return capsys.readouterr().out

    return run_command


def listed(run, *argv):
    return json.loads(run("list", "--json", *argv).splitlines()[-1])


def row_of(text, name, kind="losses"):
    """What follows a name in the block of its kind."""
    block = next(b for b in text.split("\n\n") if f"{kind} (" in b)
    return next(line.split(maxsplit=1)[1] for line in block.splitlines() if f"  {name} " in line)


def test_the_list_has_a_row_for_each_component(installed, run):
    """A block for each kind; owner and status stand where they say something."""
    text = run("list")
    assert text.startswith(f"architectures ({len(Registry.discover().names('architectures'))})\n")
    assert row_of(text, "acme_dice").startswith("acme-losses 2.3    ")
    assert row_of(text, "broken").startswith("acme-losses 2.3    ")
    assert row_of(text, "mse").startswith("Mean squared error")
    assert "hooks (1)\n  hooks  acme-losses 2.3" in text
    assert "dlplug.loses (1)\n  lost  acme-losses 2.3, incompatible" in text


def test_a_block_holds_all_of_its_kind(run):
    """Its heading counts them, and every name stands in it."""
    registry = Registry.discover()
    blocks = run("list").split("\n\n")
    for kind in ("architectures", "losses", "metrics", "commands"):
        names = [entry.name for entry in registry.components(kind)]
        heading, *rows = next(b for b in blocks if b.startswith(f"{kind} (")).splitlines()
        assert heading == f"{kind} ({len(names)})"
        assert [row.split()[0] for row in rows] == names


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_list_fits_the_screen(installed, run, monkeypatch, columns):
    """No row is longer than the screen; names are whole, summaries are shortened."""
    monkeypatch.setenv("COLUMNS", str(columns))
    table = run("list").partition("\n\nproblems\n")[0]
    assert max(map(len, table.splitlines())) <= columns
    assert ("…" in table) == (columns < 200)


def test_problems_stand_below_with_reason_and_fix(installed, run):
    """What is wrong, why, and what to do."""
    problems = run("list").partition("\n\nproblems\n")[2]
    assert "acme-losses 2.3: loss 'focal': conflict\n  why: provided by dlplug " in problems
    assert "  fix: write the full id, 'dlplug:focal' or 'acme-losses:focal'; or block" in problems
    assert "acme-losses 2.3: dlplug.loses 'lost': incompatible\n  why: this dlplug" in problems


def test_stale_copies_stand_among_the_problems(fake_distribution, run):
    """A warning about a distribution is shown too."""
    lines = {"dlplug.losses": {"acme_dice": "acme_losses:Dice"}}
    fake_distribution("acme-losses", "0.9", entry_points=lines, folder="old", form="egg-info")
    fake_distribution("acme-losses", "1.0", entry_points=lines)
    assert "acme-losses 1.0\n  why: also found as 0.9 in " in run("list")


def test_metadata_cannot_steer_the_terminal(fake_distribution, run):
    """Escape sequences of a stranger's metadata are not printed."""
    lines = "[dlplug.losses]\nred\x1b[31m = m:A\n"
    fake_distribution("acme", entry_points=lines, summary="\x1b[2Jgone")
    assert "\x1b" not in run("list") + run("info", "acme")


def test_without_problems_there_is_no_such_section(run):
    """A clean installation shows the table alone."""
    assert "problems" not in run("list", "--kind", "optimizer")


def test_the_list_imports_nothing_unless_told(installed, run):
    """A failing import shows with ``--load``, and in later lists from memory."""
    assert "failed" not in row_of(run("list"), "broken")
    text = run("list", "--load", "--kind", "loss")
    assert row_of(text, "broken").startswith("acme-losses 2.3, failed  ")
    assert "why: ModuleNotFoundError: No module named 'no_such_module'" in text
    assert " ".join(row_of(text, "acme_dice").split()) == "acme-losses 2.3 Overlap of two masks."
    assert "failed" not in row_of(text, "acme.hidden")
    assert row_of(run("list"), "broken").startswith("acme-losses 2.3, failed  ")
    assert "why: when last used: ModuleNotFoundError" in run("list")


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--kind", "loss", "--status", "conflict"], {"focal"}),
        (["--kind", "hooks"], {"hooks"}),
        (["--status", "incompatible"], {"lost"}),
        (["--kind", "losses", "--status", "available"], {"acme_dice", "broken"}),
    ],
)
def test_the_list_can_be_narrowed(installed, run, argv, names):
    """By kind, in either form of the word, and by status."""
    rows = listed(run, *argv)["components"]
    assert {row["name"] for row in rows if row["distribution"] != "dlplug"} | (
        {"focal"} & {row["name"] for row in rows if row["status"] == "conflict"}
    ) == names


@pytest.mark.parametrize("pattern", ["ACME_D", "Acme_*", "acme-losses:acme_dice", "acme-*:*dice"])
def test_a_pattern_is_compared_without_case(installed, run, pattern):
    """With ids where it has a colon."""
    names = {row["name"] for row in listed(run, "--name", pattern)["components"]}
    assert names == {"acme_dice"}


def test_nothing_to_show_is_said(run):
    """An empty selection is not an empty screen."""
    assert run("list", "--status", "failed", "--kind", "optimizer") == "nothing matches\n"


def test_json_is_one_line_and_the_last(installed, run):
    """Whatever a plugin prints on import, the last line is one JSON object."""
    out = run("list", "--load", "--json")
    assert out.splitlines()[0] == "noise"
    data = json.loads(out.splitlines()[-1])
    assert set(data) == {"components", "plugins", "problems"}
    broken = next(row for row in data["components"] if row["name"] == "broken")
    assert broken["error"] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert broken["entry_point"] == "dlplug.losses: broken = acme_losses.broken:Broken"
    assert broken["status"] == "failed"
    plugin = next(row for row in data["plugins"] if row["name"] == "acme-losses")
    assert (plugin["version"], plugin["status"]) == ("2.3", "failed")


def test_info_of_a_component(installed, run):
    """Id, entry point, file, status, docstring and arguments with types and defaults."""
    text = run("info", "acme_dice")
    assert "id:          acme-losses:acme_dice" in text
    assert "entry point: dlplug.losses: acme_dice = acme_losses.acme_dice:Dice" in text
    assert "acme_losses/acme_dice.py, line 2" in text
    assert "status:      loaded" in text
    assert "  Overlap of two masks.\n\n  Args:\n      smooth: Added to both areas." in text
    assert text.partition("arguments:\n")[2].splitlines() == [
        "  smooth   float = 1.0",
        "  classes  tuple[int, ...] = required",
        "  verbose  any = False",
    ]


def test_info_of_a_component_that_fails(installed, run):
    """What is known without the import is told, with the reason of the failure."""
    text = run("info", "acme-losses:broken")
    assert "status:      failed" in text
    assert "why:         ModuleNotFoundError: No module named 'no_such_module'" in text
    assert "arguments" not in text


def test_info_of_a_name_with_several_owners(installed, run):
    """Each of them is described; an id, or a kind, selects one."""
    data = json.loads(run("info", "focal", "--json"))
    assert [row["id"] for row in data["components"]] == ["dlplug:focal", "acme-losses:focal"]
    data = json.loads(run("info", "Acme_Losses:focal", "--json"))
    assert [row["id"] for row in data["components"]] == ["acme-losses:focal"]


def test_info_of_a_name_that_a_hook_offers(installed, run):
    """Hooks are loaded when no line has the name."""
    assert "id:          acme-losses:acme.hidden" in run("info", "acme.hidden")


def test_info_of_a_distribution(installed, run):
    """Version, summary, folder, API, requirements, status and each entry point."""
    text = run("info", "Acme_Losses")
    assert text.startswith("acme-losses\n  version:     2.3\n  summary:     Losses for masks")
    assert "plugin API:  not stated" in text
    assert "requires:    torch" in text
    assert "  dlplug.losses: acme_dice = acme_losses.acme_dice:Dice  (available)" in text


def test_info_of_built_in_components(run):
    """A class of a library that knows nothing of dlplug is described as well."""
    (data,) = json.loads(run("info", "sgd", "--json"))["components"]
    arguments = {row["name"]: row for row in data["arguments"]}
    assert arguments["params"]["required"] is True
    assert arguments["momentum"]["default"] == "0"
    assert data["file"].endswith("sgd.py")


def test_an_unknown_name_gets_a_suggestion(installed, run):
    """Among components, ids and distributions."""
    with pytest.raises(UnknownComponentError) as caught:
        run("info", "acme_dicee")
    assert caught.value.what == "no component or distribution named 'acme_dicee'"
    assert "acme-losses" in caught.value.known
    assert caught.value.fix.startswith("did you mean 'acme_dice'?")
    with pytest.raises(UnknownComponentError, match="did you mean 'acme-losses'"):
        run("info", "acme-loses")


@pytest.mark.parametrize(
    ("argv", "error", "message"),
    [
        (["lst"], UnknownKeyError, "did you mean 'plugins list'"),
        (["list", "--kid", "loss"], UnknownKeyError, "did you mean '--kind'"),
        (["info", "x", "--kind", "los"], UnknownKeyError, "did you mean 'loss'"),
        (["list", "--kind", "los"], UnknownKeyError, "did you mean 'loss'"),
        (["list", "--name", ""], InvalidValueError, "the pattern is empty"),
        (["list", "--status", "faild"], InvalidValueError, "did you mean 'failed'"),
        (["list", "--status"], InvalidValueError, "--status needs a value"),
        (["list", "extra"], UnknownKeyError, "unexpected argument 'extra'"),
        (["info"], InvalidValueError, "needs a NAME"),
    ],
)
def test_wrong_arguments_are_errors_with_a_fix(run, argv, error, message):
    """Each wrong argument is told with what was meant."""
    with pytest.raises(error, match=message):
        run(*argv)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_is_printed(run, argv):
    """Without a verb both verbs are shown, with the options that every command takes."""
    text = run(*argv)
    assert text.startswith("usage: python -m dlplug plugins list [OPTION]...\n")
    assert "       python -m dlplug plugins info NAME [OPTION]...\n" in text


@pytest.mark.parametrize("verb", ["list", "info"])
def test_each_verb_has_help(verb, run):
    """With its own options and those of every command."""
    text = run(verb, "--help")
    assert text.startswith(f"usage: python -m dlplug plugins {verb} ")
    for flag in ("--kind KIND", "--json", "--block NAME", "--allow NAME", "--strict"):
        assert f"  {flag}" in text


def test_info_of_a_module_of_hooks(installed, run):
    """``--kind hooks`` is understood as in the list."""
    (data,) = json.loads(run("info", "hooks", "--kind", "hooks", "--json"))["components"]
    assert data["id"] == "acme-losses:hooks"


def test_entries_of_a_distribution_have_one_form(installed, run):
    """The same objects in the list and in the description."""
    (described,) = json.loads(run("info", "acme-losses", "--json"))["plugins"]
    (plugin,) = [row for row in listed(run)["plugins"] if row["name"] == "acme-losses"]
    assert plugin["entries"] == described["entries"]
    assert described["entries"][0]["id"] == "acme-losses:acme_dice"


@pytest.mark.parametrize("status", list(Status), ids=str)
def test_every_status_can_be_asked_for(installed, run, status):
    """The words of ``--status`` are those that the rows show; each row answers to its own alone."""
    run("list", "--load")  # so that one has failed
    rows = listed(run)["components"]
    assert {row["status"] for row in rows} <= set(map(str, Status))
    expected = [row["id"] for row in rows if row["status"] == str(status)]
    chosen = listed(run, "--status", str(status))["components"]
    assert [row["id"] for row in chosen] == expected
    if str(status) in {"available", "conflict", "failed", "incompatible"}:
        assert expected  # the others depend on what is installed, or blocked, here
    text = run("list", "--status", str(status))
    assert (text == "nothing matches\n") == (not expected)
    if expected and status is not Status.AVAILABLE:  # which goes without saying
        assert str(status) in text.partition("\n\nproblems\n")[0]
