"""Target: what it is found to be, and bad targets."""

import pyarrow as pa
import pytest
import torch

from dlplug.data.tables.columns import Columns
from dlplug.data.tables.source import Source
from dlplug.data.tables.target import Target
from dlplug.errors import DataError


def columns(**cells):
    return Columns(Source("t.csv", pa.table(cells), lambda row: f"line {row + 2}"))


def found(kind="auto", **cells):
    return Target.find(columns(**cells), list(cells), kind)


def test_words_and_few_whole_numbers_are_classes():
    """In the order of the alphabet, or of the numbers."""
    assert found(y=["b", "a", "b"]).classes == ("a", "b")
    assert found(y=["10", "9", "10"]).classes == ("9", "10")
    assert found(y=["10.0", "9.0", "1", "2.0"]).classes == ("1", "2.0", "9.0", "10.0")
    assert found(y=pa.array([True, False])).classes == ("0", "1")
    assert found(y=["10", "9", "10"]).read(columns(y=["9", "10"])).tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["auto", "class"])
def test_a_number_is_one_class_however_it_is_written(kind):
    """The shortest way names it; other files may write it in any way."""
    cells = ["0.0", "0", "1.0", "1", "+1", "1e0", "2.0"]
    target = found(kind, y=cells)
    assert target.classes == ("0", "1", "2.0")
    assert target.read(columns(y=cells)).tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert target.read(columns(y=["2", "01", "0.00"])).tolist() == [2, 1, 0]
    assert target.read(columns(y=pa.array([1.0, 2.0]))).tolist() == [1, 2]


def test_words_that_look_like_numbers_stay_apart():
    """In a column of words, and where a digit behind the point means something."""
    assert found(y=["1", "1.0", "beta"]).classes == ("1", "1.0", "beta")
    assert found("class", y=["1.1", "1.10", "2.3"]).classes == ("1.1", "1.10", "2.3")


def test_a_target_with_commas_is_told_how_to_be_a_class():
    """data.categorical takes features alone."""
    cells = ["1,2", "1,3", "2,3"]
    with pytest.raises(DataError, match="a number with a comma") as error:
        found(y=cells)
    assert "data.target_kind to class" in error.value.fix
    assert "data.categorical" not in error.value.fix
    assert found("class", y=cells).classes == ("1,2", "1,3", "2,3")


def test_recorded_classes_mean_what_they_did():
    """A run that was recorded with each spelling as a class."""
    target = Target("class", ("y",), ("0", "1", "0.0", "1.0"))
    assert target.read(columns(y=["1.0", "0", "0.0", "1"])).tolist() == [3, 0, 2, 1]


def test_other_numbers_are_numbers():
    """Fractions, and more than 20 whole numbers; and anything when told so."""
    assert found(y=["0.5", "1"]).kind == "number"
    assert found(y=list(map(str, range(21)))).kind == "number"
    assert found(y=list(map(str, range(20)))).kind == "class"
    assert found("number", y=["1", "2"]).kind == "number"


def test_columns_of_0_and_1_are_labels():
    """Several; other numbers make several targets."""
    target = found(a=["0", "1"], b=["1", "1"])
    assert target.kind == "labels"
    labels = target.read(columns(a=["0", "1"], b=["1", "1"]))
    assert labels.tolist() == [[0, 1], [1, 1]] and labels.dtype == torch.float32
    assert target.facts() == {"num_classes": 2, "class_names": ("a", "b")}
    assert found(a=["0", "2"], b=["1", "1"]).kind == "number"


def test_numbers_are_standardised_by_the_training_records():
    """And far from 0 without losing digits."""
    target = found("number", y=["2000000001", "2000000003", "2000000009"])
    values = target.read(columns(y=["2000000001", "2000000003", "2000000009"]))
    target = target.fitted(values, torch.tensor([0, 1]))
    assert target.facts()["target_mean"] == (2000000002.0,) and target.std == (1.0,)
    assert target.prepared(values).tolist() == [[-1], [1], [7]]


def test_it_survives_as_plain_data():
    """Lists become tuples again."""
    for target in (found(y=["b", "a"]), Target("number", ("y",), (), (1.0,), (2.0,))):
        assert Target.from_dict(target.to_dict()) == target


@pytest.mark.parametrize("cells", [["a", "", "b", ""], ["1.5", "", "2", ""]])
def test_a_missing_target_is_named(cells):
    """By line, and how many there are."""
    with pytest.raises(
        DataError, match=r"line 3, column 'y': the target is missing \(and 1 more: "
    ):
        found(y=cells).read(columns(y=cells))


@pytest.mark.parametrize("kind", ["auto", "class"])
def test_a_column_without_any_target_is_named(kind):
    """Where bad rows are gathered to be told together, too."""
    source = columns(y=["", "NA"]).source
    gathering = Columns(source, bad=source.bad_rows)
    with pytest.raises(DataError, match=r"line 2, column 'y': the target is missing \(and 1 more"):
        Target.find(gathering, ["y"], kind)


def test_targets_that_cannot_be_learned_are_refused():
    """One class only, words among several columns, a label of 2, a class that training lacked."""
    with pytest.raises(DataError, match="every record has the class 'a'"):
        found(y=["a", "a"])
    with pytest.raises(DataError, match="the target column 'b' is one of words"):
        found(a=["1", "2"], b=["x", "y"])
    with pytest.raises(DataError, match="a class is one column"):
        found("class", a=["1", "2"], b=["1", "2"])
    with pytest.raises(DataError, match="line 3, column 'a': the label 2 is not 0 or 1"):
        found("labels", a=["1", "2"]).read(columns(a=["1", "2"]))
    with pytest.raises(
        DataError, match=r"line 2, column 'y': class 'c' is none of the training's\n  known: a, b"
    ):
        found(y=["a", "b"]).read(columns(y=["c", "b"]))


def test_classes_that_look_like_numbers_are_words():
    """A power or two signs are no whole number."""
    assert found("class", y=["--5", "x²", "²", "7"]).classes == ("7", "--5", "x²", "²")
