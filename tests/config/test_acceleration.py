"""The key accelerate."""

import logging

import pytest
from torch import nn

from dlplug.config.acceleration import read_acceleration
from dlplug.config.document import parse
from dlplug.errors import ConfigError


def read(text):
    node = parse(f"accelerate: {text}", "a.yaml").value["accelerate"]
    return read_acceleration(node, lambda key: "a.yaml, line 1")


def model():
    return nn.ModuleDict({"body": nn.LayerNorm(4), "head": nn.LayerNorm(4)})


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("true", True),
        ("{}", True),
        ("{include: 'body.*'}", {"include": ["body.*"]}),
        ("{include: null, exclude: [head]}", {"exclude": ["head"]}),
    ],
)
def test_it_is_read_and_said_again(text, plain):
    """What the resolved config says is read as the same."""
    found = read(text)
    assert found.plain() == plain
    again = read(str(plain).replace("True", "true"))
    assert (again.include, again.exclude) == (found.include, found.exclude)


@pytest.mark.parametrize("text", ["false", "null"])
def test_off_is_nothing(text):
    """As when nothing is said."""
    assert read(text) is None and read_acceleration(None, str) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("3", "accelerate is 3"),
        ("[body]", "accelerate is ['body']"),
        ("{inclde: [body]}", "did you mean 'include'?"),
        ("{exclude: 3}", "accelerate.exclude must be a list of globs over names of modules, got 3"),
        ("{include: []}", "accelerate.include names nothing"),
    ],
)
def test_another_value_is_refused(text, error):
    """With file and line."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert error in str(caught.value) and "a.yaml, line 1" in str(caught.value)


def test_it_is_applied_and_told(caplog):
    """With counts, once."""
    built = model()
    with caplog.at_level(logging.INFO, "dlplug"):
        read("{exclude: head}").apply(built)
    assert caplog.messages == [
        "accelerate: 1 layer_norm; 1 left alone (1: include and exclude leave it out)"
    ]
    assert type(built["body"]) is not nn.LayerNorm and type(built["head"]) is nn.LayerNorm


def test_a_glob_that_matches_nothing_names_its_key():
    """One clear error, before anything is trained."""
    with pytest.raises(ConfigError) as caught:
        read("{include: [bod]}").apply(model())
    assert str(caught.value) == (
        "include: no module of the model is called 'bod'\n"
        "  where: a.yaml, line 1, accelerate.include\n"
        "  known: body, head\n"
        "  fix:   did you mean 'body'?"
    )


NORMED = """
data: squares
architecture:
  name: tower
  norm: {class_path: torch.nn.LayerNorm, init_args: {normalized_shape: 4}}
"""


def test_a_config_swaps_when_the_task_is_built(experiment):
    """Recorded in the resolved config, which swaps again; without the key nothing happens."""
    made = experiment(NORMED + "accelerate: {include: norm}\n")
    assert made.resolved["accelerate"] == {"include": ["norm"]}
    norm = made.build_task().architecture.norm
    assert isinstance(norm, nn.LayerNorm) and type(norm) is not nn.LayerNorm
    again = experiment(made.to_yaml())
    assert type(again.build_task().architecture.norm) is type(norm)
    plain = experiment(NORMED)
    assert "accelerate" not in plain.resolved
    assert type(plain.build_task().architecture.norm) is nn.LayerNorm
    with pytest.raises(ConfigError, match=r"no module of the model is called 'nrom'"):
        experiment(NORMED + "accelerate: {exclude: nrom}\n").build_task()
