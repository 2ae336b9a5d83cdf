"""Scalars of YAML 1.2, read and written alike."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dlplug.config.document import parse
from dlplug.config.yaml_dialect import dump_scalar


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
