"""series_forecasting: statistics, gaps, inputs from outside."""

from datetime import date, timedelta

import numpy as np
import pytest
import torch

from dlplug.data.series.forecasting import SeriesForecasting, naive_error
from dlplug.errors import DataError, InvalidValueError


def table(path, rows=100, change=None):
    random = np.random.RandomState(0)
    values = random.randn(rows, 2).cumsum(axis=0)
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(rows)]
    lines = ["day,a,b", *(f"{d},{a},{b}" for d, (a, b) in zip(days, values, strict=True))]
    if change is not None:
        lines[change] = f"{days[change - 1]},,1"
    path.write_text("\n".join(lines) + "\n")
    return values


def loaded(tmp_path, **arguments):
    values = table(tmp_path / "x.csv", change=arguments.pop("change", None))
    chosen = {"targets": "a", "features": ["b"], "input_length": 5, "horizon": 3} | arguments
    data = SeriesForecasting(str(tmp_path / "x.csv"), **chosen)
    data.setup("fit")
    return data, values


def test_what_it_publishes(tmp_path):
    """Features, lengths, and statistics of the training rows alone."""
    data, values = loaded(tmp_path)
    spec = data.data_spec
    training = values[:70, 0]
    assert (spec.num_features, spec.sequence_length, spec.horizon) == (2, 5, 3)
    assert spec.target_names == ("a",)
    assert spec.target_mean == pytest.approx([training.mean()])
    assert spec.target_std == pytest.approx([training.std()])
    assert data.split_sizes == {"train": 63, "validation": 8, "test": 18}
    past, future = data.split("train").__getitems__([0])
    assert past.shape == (1, 5, 2) and future.shape == (1, 3, 1)
    np.testing.assert_allclose(
        future[0, :, 0], (values[5:8, 0] - training.mean()) / training.std(), rtol=1e-5
    )


def test_the_naive_error_is_that_of_the_last_value():
    """Over all steps of the horizon: changes of 1 and of 2; of what is constant 1, to divide by."""
    values = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    assert naive_error(values, 2) == (1.5, 1.0)


def test_the_calendar_adds_features(tmp_path):
    """A sine and a cosine for each period, behind the columns."""
    data, _ = loaded(tmp_path, time="day", calendar=["week", "year"])
    assert data.data_spec.num_features == 6 and data.data_spec.num_targets == 1


def test_several_targets(tmp_path):
    """Each with statistics of its own."""
    data, _ = loaded(tmp_path, targets=["a", "b"], features=[])
    assert data.split("train").__getitems__([0])[1].shape == (1, 3, 2)
    assert len(data.data_spec.naive_error) == 2


def test_a_gap_is_named_or_filled(tmp_path):
    """By file, line and column; forward repeats the value before."""
    with pytest.raises(DataError, match=r"x.csv, line 8, column 'a': no value"):
        loaded(tmp_path, change=7)
    data, _ = loaded(tmp_path, change=7, fill="forward")
    column = data.split("train").values[:, 0]
    assert column[6] == column[5]


def test_a_model_takes_the_end_of_a_file(tmp_path):
    """The last rows of a new file, by the means of the training."""
    trained, _ = loaded(tmp_path)
    data = SeriesForecasting("nowhere.csv", "a", ["b"], input_length=5, horizon=3)
    data.adopt(trained.data_spec)
    values = table(tmp_path / "new.csv", rows=8)
    batch = data.read_input(tmp_path / "new.csv").__getitems__([0])
    learned = trained.data_spec.preparation
    expected = (values[-5:] - learned["mean"]) / learned["std"]
    torch.testing.assert_close(batch, torch.tensor(expected[None], dtype=torch.float32))
    table(tmp_path / "short.csv", rows=4)
    with pytest.raises(DataError, match=r"short.csv: 4 rows\n  known: 5 or more"):
        data.read_input(tmp_path / "short.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 11}, "10 rows in the validation split\n  known: a window needs 11 there"),
        ({"input_length": 70}, "70 rows in the train split\n  known: a window needs 73"),
    ],
)
def test_too_few_rows(tmp_path, arguments, message):
    """The split is named."""
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "horizon = 0"),
        ({"fill": "x"}, "fill = 'x'"),
        ({"calendar": ["year"]}, r"calendar = \['year'\], time = None"),
        ({"calendar": ["moon"], "time": "day"}, r"calendar = \['moon'\]"),
        ({"features": ["a"]}, "each column once"),
        ({"targets": []}, "one target or more"),
    ],
)
def test_values_out_of_range(arguments, message):
    """The error names the value."""
    with pytest.raises(InvalidValueError, match=message):
        SeriesForecasting("x.csv", **({"targets": "a"} | arguments))


def test_a_column_that_never_changes_is_left_as_it_is(tmp_path):
    """0.1 is no binary fraction: its deviation is rounding, by which nothing may be divided."""
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{i % 7},0.1\n" for i in range(70)))
    data = SeriesForecasting(str(tmp_path / "x.csv"), "a", ["b"], input_length=5)
    data.setup("fit")
    assert data.data_spec.preparation["std"][1] == 1.0
    assert float(data.split("train").values[:, 1].abs().max()) < 1e-6


def said(tmp_path, column, **arguments):
    """A table with a column that says the split."""
    rows = (f"{i},{part}" for i, part in enumerate(column))
    (tmp_path / "x.csv").write_text("a,part\n" + "\n".join(rows) + "\n")
    chosen = {"input_length": 3, "horizon": 2, "split": "column", "split_by": "part"} | arguments
    data = SeriesForecasting(str(tmp_path / "x.csv"), "a", **chosen)
    data.setup("fit")
    return data


def test_a_column_says_where_the_parts_begin(tmp_path):
    """Windows belong where their targets lie: 20 - 5 + 1, 4 - 2 + 1 and 6 - 2 + 1 of them."""
    data = said(tmp_path, ["train"] * 20 + ["val"] * 4 + ["Test"] * 6)
    assert data.split_sizes == {"train": 16, "validation": 3, "test": 5}
    assert data.split("train").starts.tolist() == list(range(16))
    assert data.split("validation").starts.tolist() == [17, 18, 19]
    assert data.data_spec.num_features == 1
    assert data.data_spec.preparation["mean"] == [9.5]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["train"] * 9 + ["test"] * 3 + ["train"], "line 14, column 'part': train after test"),
        (["train"] * 9 + ["later"], "line 11, column 'part': 'later' is no split"),
        (["train"] * 9 + [""], "line 11, column 'part': the split is missing"),
    ],
)
def test_parts_that_do_not_follow_each_other_are_named(tmp_path, column, message):
    """With file, line and column."""
    with pytest.raises(DataError, match=message):
        said(tmp_path, column)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "group"}, InvalidValueError, "split = 'group'\n  known: fraction, column"),
        ({"split": "time"}, InvalidValueError, "split = 'time'\n  known: fraction, column"),
        ({"split_by": "a"}, InvalidValueError, "split_by = 'a' is an input or a target"),
        ({"split_by": "prat"}, DataError, "no columns 'prat'\n  known: a, part\n  fix:   did you"),
    ],
)
def test_other_divisions_of_a_series_are_refused(tmp_path, arguments, error, message):
    """It is divided by time anyway, and has no groups."""
    with pytest.raises(error, match=message):
        said(tmp_path, ["train"] * 9, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": ["c", "b"]}, r"features = \['c', 'b'\] by its .* with \['b', 'c'\]"),
        ({"features": ["b"]}, r"features = \['b'\] by its arguments, .* with \['b', 'c'\]"),
        ({"calendar": ["year"]}, r"calendar = \['year'\] by its arguments, .* with \['week'\]"),
        ({"targets": ["b"], "features": ["a", "c"]}, r"target_names = \['b'\] .* with \['a'\]"),
    ],
)
def test_other_columns_than_the_trained_ones_are_refused(tmp_path, arguments, message):
    """Each would be standardised by the statistics of another."""
    table(tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    rows = [f"{line},{i * 7 % 10 if i else 'c'}" for i, line in enumerate(lines)]
    (tmp_path / "x.csv").write_text("\n".join(rows) + "\n")
    chosen = {"targets": "a", "features": ["b", "c"], "input_length": 5}
    chosen |= {"time": "day", "calendar": ["week"]}
    trained = SeriesForecasting(str(tmp_path / "x.csv"), **chosen)
    trained.setup("fit")
    spec = type(trained.data_spec).from_dict(trained.data_spec.to_dict())
    with pytest.raises(InvalidValueError, match=message):
        SeriesForecasting("other.csv", **(chosen | arguments)).adopt(spec)
    # That gaps are filled is no contradiction: the training may have had none.
    again = SeriesForecasting(str(tmp_path / "x.csv"), **(chosen | {"fill": "forward"}))
    again.adopt(spec)
    again.setup("test")
    assert again.data_spec == spec
