"""Preparation: learned from the training records, applied to any."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from dlplug.data.tables import preparation
from dlplug.data.tables.columns import Columns
from dlplug.data.tables.preparation import Preparation
from dlplug.data.tables.source import Source
from dlplug.errors import DataError

CELLS = {
    "size": ["1", "3", "", "100"],
    "color": ["red", "blue", "", "green"],
    "same": ["7", "7", "7", "7"],
}


def columns(cells=CELLS):
    return Columns(Source("t.csv", pa.table(cells), lambda row: f"line {row + 2}"))


def fitted(**arguments):
    chosen = {"encoding": "one_hot", "indicators": True, "max_categories": 9} | arguments
    return Preparation.fit(columns(), list(CELLS), (), torch.arange(3), **chosen)


def test_numbers_are_standardised_by_the_training_records():
    """1, 3 and missing train: mean 2, deviation 1; 100 plays no part, a constant becomes 0."""
    x = fitted().inputs(columns(), accept_unknown=True)
    assert x[:, 0].tolist() == [-1, 1, 0, 98]
    assert x[:, 1].tolist() == [0, 0, 0, 0]
    assert x[:, 2].tolist() == [0, 0, 1, 0], "where the size is missing"


def test_words_become_columns():
    """blue, red, missing; a word that training did not have is none of them."""
    x = fitted().inputs(columns(), accept_unknown=True)
    assert x[:, 3:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert fitted().num_continuous == 6 and fitted().cat_cardinalities is None


def test_words_become_indices():
    """0 is unknown, then the values, then missing."""
    preparation = fitted(encoding="index", indicators=False)
    inputs = preparation.inputs(columns(), accept_unknown=True)
    assert inputs["x_cat"].tolist() == [[2], [1], [3], [0]]
    assert inputs["x_cont"].shape == (4, 2) and preparation.cat_cardinalities == (4,)


def test_it_survives_as_plain_data():
    """Through JSON, with equal inputs."""
    for encoding in ("one_hot", "index"):
        first = fitted(encoding=encoding)
        second = Preparation.from_dict(json.loads(json.dumps(first.to_dict())))
        assert first == second


def test_an_unknown_word_is_named():
    """Line, column, and the nearest word."""
    cells = CELLS | {"color": ["red", "blu", "", "green"]}
    with pytest.raises(DataError, match="line 3, column 'color': 'blu' did not occur") as error:
        fitted().inputs(columns(cells), accept_unknown=False)
    assert "did you mean 'blue'?; or --data.unknown_categories accept" in str(error.value)


def test_too_many_words_are_refused():
    """Such as names, which are different in every record."""
    with pytest.raises(DataError, match="'color': 2 different words, of which 1 are allowed"):
        fitted(max_categories=1)


def test_large_equal_numbers_are_a_constant():
    """Their rounding errors are not blown up to a feature."""
    cells = {"x": ["0.1"] * 3, "y": ["1e15"] * 3}
    table = columns(cells)
    preparation = Preparation.fit(table, ["x", "y"], (), torch.arange(3), encoding="one_hot",
                                  indicators=True, max_categories=2)  # fmt: skip
    assert preparation.inputs(table, True).abs().max() < 1e-12
    assert np.allclose([c.std for c in preparation.numbers], 1)


def test_the_unit_of_a_column_changes_nothing():
    """Capacitances of picofarads are spread by less than 1e-12 farads, and are no constant."""
    table = columns({"x": [f"{i}e-13" for i in range(5)]})
    preparation = Preparation.fit(table, ["x"], (), torch.arange(5), encoding="one_hot",
                                  indicators=True, max_categories=2)  # fmt: skip
    expected = (torch.arange(5.0) - 2) / 2**0.5
    torch.testing.assert_close(preparation.inputs(table, True)[:, 0], expected)


def test_a_column_of_dates_leads_to_a_division_by_time():
    """As words, each day would be a category of its own, however few they are."""
    days = pa.chunked_array([[f"2024-01-{day:02}" for day in range(1, 29)]])
    for max_categories in (9, 256):
        with pytest.raises(DataError, match="column 'day' holds dates") as error:
            preparation._fit_words("day", days, max_categories, "a.csv", is_meant=False)
        assert "data.split: time and data.split_by: day" in error.value.fix
    assert len(preparation._fit_words("day", days, 256, "a.csv", is_meant=True).values) == 28
