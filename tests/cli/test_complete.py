"""The protocol between the scripts and the program."""

import pytest

from dlplug.cli.complete import main, words_of


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dlplug fit", ["dlplug", "fit"]),
        ("dlplug fit ", ["dlplug", "fit", ""]),
        ("dlplug  'a b' \"c", ["dlplug", "a b", "c"]),
        (r"a\ b c\'", ["a b", "c'"]),
        ("'' ", ["", ""]),
        ("", [""]),
    ],
)
def test_a_line_is_split_as_a_shell_does(line, words):
    """The last word is the one being written."""
    assert words_of(line) == words


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (["fish", "--", "fit", "--loss", "foc"], "focal\tFocal loss for rare classes.\n"),
        (["zsh", "--", "comp"], "completion\tComplete the program 'dlplug' in your shell.\n"),
        (["bash", "dlplug fit --loss foc", "=:"], "focal\n"),
        (["bash", "dlplug fit --loss=foc", "=:"], "focal\n"),
        (["bash", "dlplug fit --loss=foc", " "], "--loss=focal\n"),
        (["bash", "dlplug describe loss dlplug:foc", ":"], "focal\n"),
        (["fish", "--", "nonsense", ""], ""),
        (["bash", "dlplug --blo", ""], "--block\n"),
        (["bash"], ""),
        ([], ""),
    ],
)
def test_each_shell_is_answered_in_its_form(arguments, out, capsys, tmp_path, monkeypatch):
    """One line each, and no error whatever was typed."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    assert capsys.readouterr() == (out, "")


def test_it_is_no_command_that_a_page_lists(command):
    """But the program knows it."""
    assert "__complete" not in command("--help").out
    assert command("__complete", "fish", "--", "gui").out.startswith("guide\t")
