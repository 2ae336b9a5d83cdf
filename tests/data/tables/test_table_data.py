"""CSV and Parquet data modules: roles of columns, divisions, prediction of new files."""

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from dlplug.data.spec import DataSpec
from dlplug.data.tables.csv import CSV
from dlplug.data.tables.parquet import Parquet
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import DAYS, EXPECTED, VALUES, positions

DIAMONDS = "package:plotnine/data/diamonds.csv"
PENGUINS = "package:plotnine/data/penguins.csv"
COUNT = 100
CELLS = {
    "size": [float(i % 7) for i in range(COUNT)],
    "color": ["red", "blue", None, "green"] * (COUNT // 4),
    "shop": [f"shop {i % 10}" for i in range(COUNT)],
    "part": ["train", "val", "test", "train"] * (COUNT // 4),
    "day": [f"2024-{1 + i % 12:02d}-{1 + i // 12:02d}" for i in range(COUNT)],
    "weight": [float(i % 2) for i in range(COUNT)],
    "price": [i + 0.5 for i in range(COUNT)],
    "sold": [i % 2 for i in range(COUNT)],
    "new": [i % 3 % 2 for i in range(COUNT)],
}
FEATURES = ["size", "color"]


@pytest.fixture
def files(tmp_path):
    """The same table in both formats."""
    table = pa.table(CELLS)
    arrow_csv.write_csv(table, tmp_path / "t.csv")
    parquet.write_table(table, tmp_path / "t.parquet")
    return tmp_path


def ready(path, target="price", cls=CSV, stage="fit", **arguments):
    data = cls(str(path), target, **({"features": FEATURES} | arguments))
    data.setup(stage)
    return data


def everything(data, name):
    """Inputs and targets of a split."""
    dataset = data.split(name)
    return dataset.__getitems__(range(len(dataset)))


def test_both_formats_give_the_same_records(files):
    """Inputs, targets and facts."""
    first, second = ready(files / "t.csv"), ready(files / "t.parquet", cls=Parquet)
    assert first.data_spec == second.data_spec
    for mine, others in zip(everything(first, "train"), everything(second, "train"), strict=True):
        assert torch.equal(mine, others)
    assert first.fingerprint() == second.fingerprint()


def test_the_facts_of_numbers(files):
    """Targets have the mean and deviation of the training records, so that those are 0 and 1."""
    data = ready(files / "t.csv")
    spec = data.data_spec
    assert (spec.num_targets, spec.target_names, spec.num_features) == (1, ("price",), 5)
    targets = everything(data, "train")[1]
    assert targets.shape == (70, 1) and targets.dtype == torch.float32
    assert abs(float(targets.mean())) < 1e-6
    assert abs(float(targets.std(correction=0)) - 1) < 1e-6
    json.dumps(spec.to_dict())


def test_all_other_columns_are_features(files):
    """Unless they are ignored; a column that says the split or the weight is none either."""
    arguments = {"split": "column", "split_by": "part", "ignore": ["day", "new", "shop"]}
    arguments |= {"sampling": "weighted", "weight_column": "weight"}
    data = ready(files / "t.csv", features=None, **arguments)
    columns = data.data_spec.preparation["features"]
    names = [c["name"] for c in (*columns["numbers"], *columns["categories"])]
    assert names == ["size", "sold", "color"]


def test_labels_are_several_columns_of_0_and_1(files):
    """As float32, with the columns as names."""
    data = ready(files / "t.csv", ["sold", "new"])
    assert data.data_spec.class_names == ("sold", "new") and data.data_spec.num_classes == 2
    assert everything(data, "train")[1].shape == (70, 2)


def test_numbers_may_be_meant_as_words(files):
    """Each of seven sizes has a column of its own."""
    spec = ready(files / "t.csv", categorical=["size"], missing_indicators=False).data_spec
    assert spec.num_features == 7 + 4


def test_words_as_indices(files):
    """x_cont and x_cat, with one index for unknown and one for missing."""
    data = ready(files / "t.csv", categories="index")
    inputs, _ = everything(data, "train")
    assert inputs["x_cont"].shape == (70, 1) and inputs["x_cat"].shape == (70, 1)
    assert data.data_spec.cat_cardinalities == (5,) and data.data_spec.num_features == 1
    only = ready(files / "t.csv", categories="index", features=["color"])
    assert list(everything(only, "train")[0]) == ["x_cat"]


def test_divided_as_a_column_says(files):
    """A quarter each to validate and test."""
    assert ready(files / "t.csv", split="column", split_by="part").split_sizes == {
        "train": 50,
        "validation": 25,
        "test": 25,
    }
    with pytest.raises(DataError, match="line 2, column 'shop': 'shop 0' is no split") as error:
        ready(files / "t.csv", split="column", split_by="shop")
    assert "known: train, training, validation" in str(error.value)
    with pytest.raises(DataError, match="line 4, column 'color': the split is missing"):
        ready(files / "t.csv", split="column", split_by="color", features=["size"])


def test_divided_by_group_and_by_time(files):
    """No shop in two splits; the last days are the test."""
    data = ready(
        files / "t.csv", split="group", split_by="shop", validation_fraction=0.0, stage="test"
    )
    prices = [everything(data, name)[1] for name in ("train", "test")]
    spec = data.data_spec
    shops = [
        {int(p * spec.target_std[0] + spec.target_mean[0]) % 10 for p in part} for part in prices
    ]
    assert not shops[0] & shops[1]
    data = ready(files / "t.csv", split="time", split_by="day", stage="test")
    assert data.split_sizes["test"] >= 15
    for cells, message in ((["2024-01-01", "yesterday"] * 50, "'yesterday' is no time"),
                           (["2024-01-01", ""] * 50, "the time is missing")):  # fmt: skip
        arrow_csv.write_csv(pa.table(CELLS | {"day": cells}), files / "bad.csv")
        with pytest.raises(DataError, match=f"line 3, column 'day': {message}"):
            ready(files / "bad.csv", split="time", split_by="day")


def test_weights_decide_how_often_a_record_is_drawn(files):
    """Half of the records have the weight 0, and never come."""
    data = ready(files / "t.csv", weight_column="weight", sampling="weighted")
    weights = data.split("train").weights
    assert set(weights.tolist()) == {0.0, 1.0}
    arrow_csv.write_csv(pa.table(CELLS | {"weight": [-1.0] * COUNT}), files / "bad.csv")
    with pytest.raises(DataError, match="line 2, column 'weight': a weight must be"):
        ready(files / "bad.csv", weight_column="weight", sampling="weighted")


def test_new_files_need_no_target_and_no_training_data(files):
    """Only the saved facts; the inputs are those of the training."""
    data = ready(files / "t.csv", "sold")
    saved = DataSpec.from_dict(json.loads(json.dumps(data.data_spec.to_dict())))
    new = CSV("gone.csv", "sold", features=FEATURES)
    new.adopt(saved)
    arrow_csv.write_csv(pa.table(CELLS).select(["color", "size"]), files / "new.csv")
    inputs = new.read_input(files / "new.csv").__getitems__(range(COUNT))
    assert torch.equal(inputs[data.split("train").indices], everything(data, "train")[0])


@pytest.mark.parametrize(("cells", "message"), [
    ({"size": [1.0]}, "has no column 'color'"),
    ({"size": [1.0], "color": ["pink"]}, "line 2, column 'color': 'pink' did not occur"),
    ({"size": ["big"], "color": ["red"]}, "line 2, column 'size': 'big' is no finite number"),
])  # fmt: skip
def test_new_files_that_do_not_fit_are_refused(files, cells, message):
    """A missing column, an unknown word, a word for a number."""
    data = ready(files / "t.csv")
    arrow_csv.write_csv(pa.table(cells), files / "new.csv")
    with pytest.raises(DataError, match=message):
        data.read_input(files / "new.csv")


def test_unknown_words_can_be_accepted(files):
    """They are none of the known ones."""
    data = ready(files / "t.csv", unknown_categories="accept")
    arrow_csv.write_csv(pa.table({"size": [3.0], "color": ["pink"]}), files / "new.csv")
    assert data.read_input(files / "new.csv").__getitems__([0])[0, 1:].tolist() == [0, 0, 0, 0]


def test_the_test_uses_what_the_training_learned(files):
    """Means of the run, not of the data that are tested."""
    first = ready(files / "t.csv")
    arrow_csv.write_csv(pa.table(CELLS | {"size": [1000.0] * COUNT}), files / "new.csv")
    second = CSV(str(files / "new.csv"), "price", features=FEATURES)
    second.adopt(first.data_spec)
    second.setup("test")
    assert float(everything(second, "test")[0][:, 0].min()) > 100
    assert second.data_spec == first.data_spec


@pytest.mark.parametrize("num_words", [1, COUNT])
def test_a_word_is_no_number_of_the_training(files, num_words):
    """However many there are: a column of them alone would have become its mean."""
    trained = ready(files / "t.csv", target_kind="number").data_spec
    cells = [f"{size}kg" if i < num_words else size for i, size in enumerate(CELLS["size"])]
    table = pa.table(CELLS | {"size": list(map(str, cells))})
    arrow_csv.write_csv(table, files / "new.csv")
    for quarantine in (0.0, 0.02):
        data = CSV(str(files / "new.csv"), "price", features=FEATURES, quarantine=quarantine)
        data.adopt(trained)
        if num_words == 1 and quarantine:
            data.setup("test")
            assert len(data.quarantine) == 1
        else:
            with pytest.raises(DataError, match=r"line 2, column 'size': '0\.0kg' is no") as error:
                data.setup("test")
            assert error.value.fix == "correct it, or add it to data.missing"
    with pytest.raises(DataError) as error:
        data.read_input(files / "new.csv")
    assert error.value.fix == "correct it, or add it to data.missing"


def test_numbers_are_words_where_the_training_had_words(files):
    """A column that is almost one of numbers now has no bad cells; its words are unknown."""
    trained = ready(files / "t.csv").data_spec
    cells = ["red", *map(str, range(1, COUNT))]
    arrow_csv.write_csv(pa.table(CELLS | {"color": cells}), files / "new.csv")
    data = CSV(str(files / "new.csv"), "price", features=FEATURES)
    data.adopt(trained)
    data.setup("test")
    red = trained.preparation["features"]["categories"][0]["values"].index("red")
    inputs = torch.cat([everything(data, name)[0] for name in data.split_sizes])
    assert inputs[:, 1:].sum() == 1 == inputs[:, 1 + red].sum()


def test_a_feature_that_equals_the_target_is_warned_of(files):
    """And one that is the same in every record."""
    copy = {"size": CELLS["size"], "copy": CELLS["size"], "one": ["x"] * COUNT, "two": [2] * COUNT}
    arrow_csv.write_csv(pa.table(copy), files / "leak.csv")
    with pytest.warns(UserWarning) as found:
        ready(files / "leak.csv", "size", features=None)
    texts = [str(warning.message) for warning in found]
    assert "'copy' equals the target 'size'" in texts[0]
    assert "same value in 'two', 'one'" in texts[1]


def test_a_column_without_a_name_is_warned_of(files):
    """As R and pandas write the numbers of rows."""
    rows = list(range(COUNT))
    arrow_csv.write_csv(pa.table({"": rows, "price": CELLS["price"]}), files / "rows.csv")
    with pytest.warns(UserWarning, match="a column without a name is taken as a feature"):
        ready(files / "rows.csv", features=None)


def test_a_decimal_comma(tmp_path):
    """The same records as of a file with points; not said, it is refused."""
    for name, mark in (("point.csv", "."), ("comma.csv", ",")):
        rows = (f"{i}.25;{i * i}.5;{i % 3}.0".replace(".", mark) for i in range(COUNT))
        (tmp_path / name).write_text("\n".join(["x;y;kind", *rows]))
    points = ready(tmp_path / "point.csv", "y", delimiter=";", features=None)
    commas = ready(tmp_path / "comma.csv", "y", delimiter=";", features=None, decimal=",")
    assert points.data_spec == commas.data_spec and points.data_spec.num_targets == 1
    for ours, theirs in zip(everything(points, "train"), everything(commas, "train"), strict=True):
        assert torch.equal(ours, theirs)
    text = (tmp_path / "comma.csv").read_text()
    (tmp_path / "mixed.csv").write_text(text.replace(";2,0\n", ";2\n", 3))
    kinds = ready(tmp_path / "mixed.csv", "kind", delimiter=";", features=["x"], decimal=",")
    assert kinds.data_spec.class_names == ("0,0", "1,0", "2")
    with pytest.raises(
        DataError, match=r"comma\.csv, line 2, column 'y': '0,5' is a number with a"
    ):
        ready(tmp_path / "comma.csv", "y", delimiter=";", features=None)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"split": "chance"}, "split = 'chance'"),
    ({"split": "group"}, "split = 'group' without split_by\n  fix:   name a column"),
    ({"split": "group", "split_by": "y"}, "split_by = 'y' is an input or a target"),
    ({"split": "group", "split_by": "x", "features": ["x"]}, "split_by = 'x' is an input"),
    ({"categories": "hash"}, "categories = 'hash'"),
    ({"target_kind": "word"}, "target_kind = 'word'"),
    ({"unknown_categories": "x"}, "unknown_categories = 'x'"),
    ({"weight_column": "w"}, "weight_column = 'w' with sampling = 'uniform'"),
    ({"sampling": "weighted"}, "weight_column = None with sampling = 'weighted'"),
    ({"max_categories": 0}, "max_categories = 0"),
    ({"target": ["y", "y"]}, "name each target column once"),
    ({"features": []}, r"features = \[\]\n  known: one column or more, each once"),
    ({"features": ["x", "z", "x"]}, "features = .'x', 'z', 'x'."),
    ({"encoding": "klingon"}, "encoding = 'klingon' is unknown"),
    ({"encoding": "rot13"}, "encoding = 'rot13' is unknown"),
    ({"encoding": "base64"}, "encoding = 'base64' is unknown"),
    ({"decimal": ";"}, "decimal = ';'"),
    ({"delimiter": "::"}, "delimiter = '::' is not one character"),
    ({"delimiter": "§"}, "delimiter = '§' is not one character of ASCII"),
    ({"delimiter": "\n"}, r"delimiter = '\\n' is not .*\n  known: any but a quote and a line"),
    ({"delimiter": '"'}, "delimiter = '\"' is not"),
    ({"column_names": []}, "column_names is empty"),
])  # fmt: skip
def test_impossible_arguments_are_refused(arguments, message):
    """Before the file is read."""
    with pytest.raises(InvalidValueError, match=message):
        CSV("t.csv", **({"target": "y"} | arguments))


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"features": ["sise"]}, DataError, "no column 'sise'"),
    ({"target": "prise"}, DataError, "no column 'prise'"),
    ({"ignore": ["x"]}, DataError, "no column 'x'"),
    ({"features": ["price"]}, InvalidValueError, "'price' is a target"),
    ({"categorical": ["sold"]}, InvalidValueError, "'sold' is no feature"),
])  # fmt: skip
def test_columns_that_do_not_exist_or_have_two_roles_are_refused(files, arguments, error, message):
    """Each is named."""
    with pytest.raises(error, match=message):
        ready(files / "t.csv", **arguments)


def test_a_file_that_is_no_parquet_is_refused(files):
    """The message holds the path."""
    with pytest.raises(DataError, match=r"t.csv cannot be read as Parquet"):
        ready(files / "t.csv", cls=Parquet)


def test_rows_of_parquet_are_counted_from_1(files):
    """There are no lines."""
    parquet.write_table(pa.table({"x": [1.0, 2.0], "y": [1.5, None]}), files / "bad.parquet")
    with pytest.raises(DataError, match="row 2, column 'y': the target is missing"):
        ready(files / "bad.parquet", "y", cls=Parquet, features=None)


def test_without_pyarrow_the_fix_is_named(monkeypatch):
    """Which extra to install."""
    import sys

    from dlplug.errors import DlplugError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DlplugError, match=r"needs the package pyarrow.*\n.*dlplug\[tables\]"):
        CSV(PENGUINS, "species").setup("fit")


def test_a_real_table_with_missing_values():
    """344 penguins, some without measures or sex."""
    data = CSV(PENGUINS, "species")
    data.setup("fit")
    assert data.data_spec.class_names == ("Adelie", "Chinstrap", "Gentoo")
    assert data.split_sizes == {"train": 241, "validation": 34, "test": 69}
    inputs, classes = everything(data, "train")
    assert inputs.isfinite().all() and np.bincount(classes).tolist() == [107, 47, 87]


@pytest.mark.parametrize("cls", [CSV, Parquet])
@pytest.mark.parametrize("way", VALUES)
def test_both_formats_are_divided_alike(tmp_path, cls, way):
    """By column, group and time, as worked out by hand."""
    table = pa.table({"x": [float(i) for i in range(10)], "y": CELLS["price"][:10]})
    table = table.append_column("key", pa.array(VALUES[way]))
    arrow_csv.write_csv(table, tmp_path / "t.csv")
    parquet.write_table(table, tmp_path / "t.parquet")
    path = tmp_path / ("t.csv" if cls is CSV else "t.parquet")
    data = cls(str(path), "y", split=way, split_by="key")
    assert positions(data) == EXPECTED[way] and data.data_spec.num_features == 1


@pytest.mark.parametrize(("way", "bad", "what"), [
    ("column", "tarin", "'tarin' is no split"),
    ("group", "", "the group is missing"),
    ("time", "2024-13-01", "'2024-13-01' is no time"),
])  # fmt: skip
def test_a_record_that_nobody_can_divide_is_bad(tmp_path, capsys, way, bad, what):
    """It is set aside and trains, or is the error; the others stay where they are."""
    rows = [f"{i},{i / 7},{key}" for i, key in enumerate(VALUES[way])]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,y,key", *rows, f"10,9.9,{bad}"]) + "\n")
    arguments = {"target_kind": "number", "split": way, "split_by": "key"}
    with pytest.raises(DataError, match=f"line 12, column 'key': {what}"):
        CSV(str(path), "y", **arguments).setup("fit")
    data = CSV(str(path), "y", quarantine=0.1, **arguments)
    assert positions(data) == EXPECTED[way] | {"train": [*EXPECTED[way]["train"], 10]}
    assert data.quarantine.positions("train") == {len(EXPECTED[way]["train"])}
    assert what in capsys.readouterr().err


def test_times_of_parquet_have_a_type(tmp_path):
    """Days, stamps and numbers are sorted by what they are."""
    days = pa.array([date(2024, 1, day) for day in DAYS])
    for column in (days, days.cast(pa.timestamp("ns")), pa.array(DAYS)):
        table = pa.table(
            {"x": [float(i) for i in range(10)], "y": CELLS["price"][:10], "t": column}
        )
        parquet.write_table(table, tmp_path / "t.parquet")
        data = Parquet(str(tmp_path / "t.parquet"), "y", split="time", split_by="t")
        assert positions(data) == EXPECTED["time"]
