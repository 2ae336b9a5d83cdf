"""Files and overrides before any name is looked up."""

import itertools

import pytest

from dlplug.config import compose
from dlplug.config.composed import apply_overrides, read_value
from dlplug.config.document import parse
from dlplug.config.merging import normalised
from dlplug.errors import ConfigError, InvalidValueError, UnknownKeyError


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        paths = []
        for name, text in texts.items():
            paths.append(tmp_path / f"{name}.yaml")
            paths[-1].write_text(text)
        return paths

    return write


def test_files_and_overrides_are_laid_over_each_other(files):
    """The last file names the run; every value knows where it comes from."""
    paths = files(a="name: x\ntrainer:\n  max_epochs: 1\n", b="\nloss: focal\n")
    composed = compose(paths, [("trainer.precision", "bf16-mixed")])
    assert composed.tree.plain() == {
        "name": "x",
        "trainer": {"max_epochs": 1, "precision": "bf16-mixed"},
        "loss": "focal",
    }
    assert composed.name == "b"
    assert composed.where("trainer.max_epochs") == f"{paths[0]}, line 3"
    assert composed.where("loss") == f"{paths[1]}, line 2"
    assert composed.where("trainer.precision") == "command line"
    assert composed.where("metrics.0") == "dlplug's defaults"


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("achitecture", "did you mean 'architecture'?"),
        ("model", "did you mean 'architecture'?"),
        ("lr_scheduler", "did you mean 'scheduler'?"),
        ("callback", "did you mean 'callbacks'?"),
        ("ckpt_path", "'ckpt_path' is an option: --ckpt_path"),
        ("zzz", None),
    ],
)
def test_an_unknown_key_is_refused_with_file_and_line(files, key, fix):
    """Typing errors, the words of other programs, and options."""
    paths = files(a=f"seed_everything: 1\n{key}: x\n")
    with pytest.raises(UnknownKeyError) as caught:
        compose(paths)
    assert caught.value.what == f"no key '{key}' in a config"
    assert caught.value.where == f"{paths[0]}, line 2, {key}"
    assert caught.value.fix == fix
    assert caught.value.known.startswith("task, architecture, loss, optimizer")


def test_an_unknown_key_of_an_earlier_file_counts(files):
    """Laying another file over it hides nothing."""
    with pytest.raises(UnknownKeyError, match="no key 'modle' in a config"):
        compose(files(a="modle: x", b="loss: focal"))


def test_a_rewritten_config_is_checked_again(files):
    """A plugin that upgrades a config cannot bring in keys that nobody reads."""
    composed = compose(files(a="loss: focal\n"))
    assert composed.rewritten({"loss": "dice"}, "upgraded").where("loss").endswith("a.yaml, line 1")
    with pytest.raises(UnknownKeyError, match="no key 'losss' in a config"):
        composed.rewritten({"losss": "dice"}, "upgraded")


def test_a_rewritten_config_keeps_what_was_typed(files):
    """A name that looks like a number is still the text; added keys name the plugin."""
    composed = compose(files(a="loss: {name: focal}\n"), [("name", "20240105")])
    plain = composed.tree.plain() | {"loss": {"name": "focal", "gamma": 2}}
    rewritten = composed.rewritten(plain, "upgraded by a plugin")
    assert rewritten.get("name").text == "20240105"
    assert rewritten.where("loss.gamma") == "upgraded by a plugin"
    assert rewritten.where("loss.name").endswith("a.yaml, line 1")


def overridden(text, *overrides):
    return apply_overrides(normalised(parse(text, "a.yaml")), overrides).plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3e-4", 3e-4),
        ("true", True),
        ("null", None),
        ("", ""),
        ("a: b", "a: b"),
        ("# no comment", "# no comment"),
        ("x,y", "x,y"),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("'3'", "3"),
        ("-1", -1),
    ],
)
def test_text_is_read_as_a_value(text, value):
    """Numbers, words, lists and mappings; only brackets and quotes open more than a word."""
    found = read_value(text, "x")
    assert found.plain() == value and type(found.plain()) is type(value)


def test_a_value_that_cannot_be_read_is_refused():
    """The error shows the text and how to quote it."""
    with pytest.raises(InvalidValueError) as caught:
        read_value("[1, 2", "callbacks")
    assert str(caught.value) == (
        "cannot read the value '[1, 2': not valid YAML: expected ',' or ']', but got "
        "'<stream end>' (while parsing a flow sequence begun in line 1)\n"
        "  where: command line, callbacks\n"
        "  fix:   quote it for the shell, for example '[1, 2]' or '{name: x}'"
    )


def test_the_order_does_not_matter():
    """The name counts before its arguments, wherever it stands."""
    for order in itertools.permutations([("optimizer", "sgd"), ("optimizer.lr", "0.1")]):
        result = overridden("optimizer: {name: adamw, eps: 1}", *order)
        assert result == {"optimizer": {"name": "sgd", "lr": 0.1}}


@pytest.mark.parametrize(
    ("overrides", "result"),
    [
        ([("architecture.name", "mlp"), ("architecture.depth", "2")], {"name": "mlp", "depth": 2}),
        ([("architecture.depth", "2"), ("architecture.name", "mlp")], {"name": "mlp", "depth": 2}),
        ([("architecture.init_args.depth", "2")], {"name": "vit", "heads": 3, "depth": 2}),
        ([("architecture.heads", "1"), ("architecture.heads", "2")], {"name": "vit", "heads": 2}),
        ([("architecture", {"name": "mlp", "widths": (1, 2)})], {"name": "mlp", "widths": [1, 2]}),
        (
            [("architecture.init_args.name", "x")],
            {"name": "vit", "init_args": {"heads": 3, "name": "x"}},
        ),
    ],
)
def test_dotted_keys_reach_arguments(overrides, result):
    """Names, arguments, LightningCLI's init_args, and plain Python values."""
    assert overridden("architecture: {name: vit, heads: 3}", *overrides) == {"architecture": result}


def test_list_elements_are_appended_and_addressed_in_one_go():
    """The appended callback exists before its argument is set."""
    overrides = [
        ("callbacks.ema.decay", "0.9"),
        ("callbacks+", "ema"),
        ("callbacks.0.patience", "3"),
    ]
    assert overridden("callbacks: [early_stopping]", *overrides) == {
        "callbacks": [{"name": "early_stopping", "patience": 3}, {"name": "ema", "decay": 0.9}]
    }


def test_a_single_name_is_a_list_that_can_be_addressed():
    """``--callbacks ema --callbacks.ema.decay 0.9``."""
    overrides = [("callbacks", "ema"), ("callbacks.ema.decay", "0.9")]
    assert overridden("{}", *overrides) == {"callbacks": [{"name": "ema", "decay": 0.9}]}


def test_a_malformed_key_is_refused():
    """Two dots in a row name nothing."""
    with pytest.raises(ConfigError, match=r"'trainer\.\.x' is not a dotted key"):
        overridden("{}", ("trainer..x", "1"))


def test_replacing_a_list_comes_before_appending():
    """Whatever stands first, nothing that was appended is lost."""
    for order in itertools.permutations([("callbacks+", "lr_monitor"), ("callbacks", "[ema]")]):
        assert overridden("{}", *order) == {"callbacks": ["ema", "lr_monitor"]}


@pytest.mark.parametrize("number", ["1" * 5000, "0x" + "f" * 4998, "0o" + "7" * 4998])
def test_a_number_beyond_pythons_own_limit(number):
    """Python reads and writes 4300 digits; told by its key, without all the digits."""
    with pytest.raises(InvalidValueError, match=r"^optimizer.lr has a number of 5000 ch") as error:
        compose([], [("optimizer.lr", number)])
    assert len(str(error.value)) < 200
