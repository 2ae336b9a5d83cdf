"""Help pages."""

import pytest

from dlplug.cli import evaluation, fit, predict, test, validate
from dlplug.cli.help_page import NAMES_SHOWN, names_line
from dlplug.config import SLOTS
from dlplug.plugin import Registry

VERBS = {"fit": fit, "validate": validate, "test": test, "predict": predict}
# Where the options and examples of each stand.
HOMES = VERBS | {"validate": evaluation, "test": evaluation}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_page_names_options_and_slots(command, verb):
    """Every option with its line, every slot with the installed names, an example."""
    done = command(verb, "--help")
    assert done.code == 0 and done.out.startswith(f"usage: python -m dlplug {verb} [--config FILE]")
    assert VERBS[verb].ABOUT in done.out
    for option in HOMES[verb].OPTIONS:
        assert f"  --{option.name}" in done.out
    for flag in ("--block", "--allow", "--strict", "--traceback"):
        assert f"  {flag}" in done.out
    for slot in SLOTS:
        assert f"  --{slot} " in done.out
    text = " ".join(done.out.split())
    for kind in ("architectures", "optimizers", "losses", "datamodules"):
        assert f"one of: {names_line(kind, Registry.discover())} --" in text
    for example in HOMES[verb].EXAMPLES:
        assert f"  python -m dlplug {verb} {example}\n" in done.out


def test_predict_names_the_forms_of_its_inputs(command):
    """Not arrays alone: each form that a built-in data module reads."""
    text = " ".join(command("predict", "--help").out.split())
    said = text.partition("--input FILE ")[2].partition(" --output")[0]
    for form in (".npy", "CSV", "Parquet", "JSON lines", "text", "image", "folder"):
        assert form in said


def test_installed_plugins_stand_on_the_page(command, fake_distribution):
    """As soon as pip has installed them."""
    fake_distribution("acme", entry_points={"dlplug.losses": {"acme_dice": "acme.acme_dice:Dice"}})
    assert "one of: acme_dice, " in command("fit", "--help").out


def test_a_large_family_is_cut_short(fake_distribution):
    """With the command that lists it all."""
    lines = {f"net{i:03}": "acme.nets:Net" for i in range(NAMES_SHOWN + 10)}
    fake_distribution("acme", entry_points={"dlplug.architectures": lines})
    line = names_line("architectures", Registry.discover())
    more = len(Registry.discover().names("architectures")) - NAMES_SHOWN
    assert more > 9 and len(line.split(", and ")[0].split(", ")) == NAMES_SHOWN
    assert line.endswith(f", and {more} more: python -m dlplug plugins list --kind architectures")


def test_lines_fit_the_terminal(command, monkeypatch):
    """Long texts are wrapped under their column."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("fit", "--help").out.splitlines()
    assert max(map(len, lines)) <= 92  # the longest example
    assert max(len(line) for line in lines if line.startswith(" " * 10)) <= 80
