"""Splitting arguments."""

import sys

import pytest

from dlplug.cli.options import OF_FIT, Option, parse
from dlplug.errors import InvalidValueError, UnknownKeyError

OPTIONS = (
    Option("config", "", "FILE", True),
    Option("json", ""),
    Option("resume", "", "auto|RUN"),
)
SLOTS = ("architecture", "callbacks", "trainer")


def test_options_and_overrides_come_in_any_order():
    """With a space or an equals sign; values may begin with one dash."""
    parsed = parse(
        ["--trainer.x", "-1", "--config", "a", "--json", "--architecture=vit", "--config=b",
         "--callbacks+", "ema"],
        OPTIONS,
        SLOTS,
    )  # fmt: skip
    assert parsed.options == {"config": ["a", "b"], "json": True}
    assert parsed.overrides == [("trainer.x", "-1"), ("architecture", "vit"), ("callbacks+", "ema")]
    assert parsed.get("resume", "x") == "x"


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (["--confg", "a"], "no option --confg", "did you mean '--config'?"),
        (["--trainr.x", "1"], "no option --trainr.x", "did you mean '--trainer.x'?"),
        (["--model.depth", "1"], "no option --model.depth", "did you mean '--architecture.depth'?"),
        (["--zzz"], "no option --zzz", "--help lists them"),
        (
            ["--locked"],
            "no option --locked",
            "--locked is an option of fit; plugins lock --check compares without a training",
        ),
        (["a.yaml"], "unexpected argument 'a.yaml'", "--config a.yaml"),
        (["json"], "unexpected argument 'json'", "did you mean '--json'?"),
        (["-c", "a"], "unexpected argument '-c'", "every option starts with --; --help lists them"),
    ],
)
def test_what_means_nothing_is_refused(arguments, what, fix):
    """With the nearest option, slot, or word of another program."""
    with pytest.raises(UnknownKeyError) as caught:
        parse(arguments, OPTIONS, SLOTS)
    assert (caught.value.what, caught.value.fix) == (what, fix)


def test_an_option_of_fit_is_told_without_importing_it(monkeypatch):
    """Nor do its words decide; that it is fit's, and no other command's, is seen here."""
    from dlplug.cli import fit, verb

    assert set(OF_FIT) <= set(fit.OPTIONS) - {*verb.SHARED, verb.RUN, verb.CKPT_PATH}
    monkeypatch.setitem(sys.modules, "dlplug.cli.fit", None)
    for name in ("resume", "lock"):
        with pytest.raises(UnknownKeyError, match=rf"fix:   --{name} is an option of fit"):
            parse([f"--{name}", "x"], [Option("json", "")])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--config"], "--config needs a value"),
        (["--config", "--json"], "--config needs a value"),
        (["--architecture"], "--architecture needs a value"),
        (["--json=yes"], "--json takes no value"),
        (["--resume", "a", "--resume", "b"], "--resume is given twice"),
    ],
)
def test_missing_and_double_values_are_refused(arguments, what):
    """Nothing is taken for something else."""
    with pytest.raises(InvalidValueError) as caught:
        parse(arguments, OPTIONS, SLOTS)
    assert caught.value.what == what


def test_a_command_without_a_config_takes_no_overrides():
    """Slots count only where they are given."""
    with pytest.raises(UnknownKeyError, match="no option --architecture"):
        parse(["--architecture", "vit"], OPTIONS)


def test_help_is_an_option_everywhere():
    """In its long and short form."""
    assert parse(["-h"], ()).get("help") and parse(["--help"], ()).get("help")


def test_a_command_may_take_one_word():
    """In any place; a second one means nothing."""
    assert parse(["--json", "focal"], OPTIONS, num_operands=1).operand == "focal"
    assert parse([], OPTIONS, num_operands=1).operand is None
    with pytest.raises(UnknownKeyError, match="unexpected argument 'dice'"):
        parse(["focal", "dice"], OPTIONS, num_operands=1)
