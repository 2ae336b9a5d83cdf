"""Scalars of YAML 1.2, read and written alike."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dlplug.config.document import parse
from dlplug.config.yaml_dialect import dump_scalar, render


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("3.", 3.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("1_000", "1_000"),
        ("2024_01_05", "2024_01_05"),
        ("1_0.5", "1_0.5"),
        ("0x_1f", "0x_1f"),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("+7", 7),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("'1e-3'", "1e-3"),
        ("e5", "e5"),
        (".", "."),
    ],
)
def test_a_plain_scalar_is_what_yaml_1_2_says(text, value):
    """1e-3 is a number, no and 12:30:45 are words, 010 is ten."""
    found = parse(f"k: {text}", "a.yaml").plain()["k"]
    assert found == value and type(found) is type(value)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    | st.sampled_from(
        ["no", "1e-3", "0o7", "~", "1_0", ".5", "-", "a: b", "# x", "yes", "2020-01-01"]
    )
)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_what_is_written_is_read_back(value):
    """Any value on one line gives itself, with its type."""
    text = dump_scalar(value)
    assert "\n" not in text
    assert parse(f"k: {text}", "a.yaml").plain()["k"] == value


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8))
def test_other_readers_see_the_same_string(value):
    """A string is quoted whenever YAML 1.1 would read something else."""
    assert yaml.safe_load(f"k: {dump_scalar(value)}")["k"] == value


CONFIG = {
    "seed_everything": 0,
    "architecture": {"name": "vit", "num_classes": 10, "betas": [0.9, 0.999]},
    "loss": {"class_path": "a.B", "init_args": {"num_classes": 10}},
    "scheduler": None,
    "callbacks": [{"name": "ema", "decay": 0.9}, "plain", {}],
    "loggers": [],
    "trainer": {},
}
NOTES = {
    "architecture.num_classes": "from data mnist",
    "loss.num_classes": "from data mnist",
    "callbacks.0.decay": "why",
}


def test_the_text_says_where_values_come_from():
    """Blocks for mappings, one line for the rest, a comment behind filled values."""
    assert render(CONFIG, NOTES) == (
        "seed_everything: 0\n"
        "architecture:\n"
        "  name: vit\n"
        "  num_classes: 10  # from data mnist\n"
        "  betas: [0.9, 0.999]\n"
        "loss:\n"
        "  class_path: a.B\n"
        "  init_args:\n"
        "    num_classes: 10  # from data mnist\n"
        "scheduler: null\n"
        "callbacks:\n"
        "- name: ema\n"
        "  decay: 0.9  # why\n"
        "- plain\n"
        "- {}\n"
        "loggers: []\n"
        "trainer: {}\n"
    )


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
WORDS = st.text("abc", min_size=1)
VALUES = st.recursive(
    SCALARS | st.text("ab:#-' 1", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc1:", min_size=1), VALUES, max_size=3))
def test_the_text_is_a_config_with_the_same_content(config):
    """Reading it gives back what was written."""
    assert (parse(render(config), "f").plain() or {}) == config
