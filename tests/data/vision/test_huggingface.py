"""Data sets saved by Hugging Face's library: images, rows, splits, and what is refused."""

import warnings
from datetime import datetime

import numpy as np
import pytest
import torch

from dlplug.data.vision.huggingface import HuggingFace, standardised
from dlplug.data.vision.saved_tables import read_row
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import DAYS, EXPECTED, VALUES, positions
from tests.data.vision.pictures import write_faces

pytest.importorskip("datasets", reason="the extra huggingface is not installed")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders: faces as images, wine as columns, wine with splits."""
    import datasets
    from PIL import Image
    from skimage.data import lfw_subset
    from sklearn.datasets import load_wine

    root = tmp_path_factory.mktemp("saved")
    datasets.disable_progress_bars()
    pixels = (lfw_subset()[80:120] * 255).astype(np.uint8)
    faces = datasets.Dataset.from_dict(
        {"picture": [Image.fromarray(p) for p in pixels], "kind": ["face"] * 20 + ["other"] * 20}
    )
    faces.save_to_disk(root / "faces")
    wine = load_wine()
    columns = {"alcohol": wine.data[:, 0], "hue": wine.data[:, 10], "label": wine.target}
    table = datasets.Dataset.from_dict({k: v.tolist() for k, v in columns.items()})
    table.save_to_disk(root / "wine")
    named = table.cast_column("label", datasets.ClassLabel(names=["one", "two", "three"]))
    parts = named.train_test_split(test_size=40, seed=0)
    parts.save_to_disk(root / "split")
    return root


def test_images_with_texts_as_classes(saved, tmp_path):
    """Sizes, classes and standardised pixels; new inputs from files and from a saved set."""
    data = HuggingFace(
        str(saved / "faces"), image="picture", label="kind", image_size=25, greyscale=True
    )
    data.setup("fit")
    spec = data.data_spec
    assert (spec.in_channels, spec.image_size, spec.class_names) == (1, 25, ("face", "other"))
    assert data.split_sizes == {"train": 28, "validation": 4, "test": 8}
    images, labels = data.split("train").__getitems__(range(28))
    assert images.shape == (28, 1, 25, 25) and labels.sum() == 14
    assert abs(float(images.mean())) < 1e-4 and abs(float(images.std()) - 1) < 1e-3
    again = HuggingFace("gone", image="picture", label="kind", image_size=25, greyscale=True)
    again.adopt(type(spec).from_dict(spec.to_dict()))
    assert again.read_input(saved / "faces").__getitems__([0]).shape == (1, 1, 25, 25)
    assert len(again.read_input(write_faces(tmp_path, 4))) == 4
    before = data.split("train").digest()
    data.split("train").labels = 1 - labels
    assert data.split("train").digest() != before


def test_columns_of_numbers(saved):
    """Rows standardised by the training records, whole numbers as classes."""
    data = HuggingFace(str(saved / "wine"), features=["alcohol", "hue"])
    data.setup("fit")
    assert data.data_spec.num_features == 2 and data.data_spec.class_names == ("0", "1", "2")
    rows, labels = data.split("train").__getitems__(range(len(data.split("train"))))
    torch.testing.assert_close(rows.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert labels.unique().tolist() == [0, 1, 2]
    assert len(data.read_input(saved / "wine")) == 178


def test_splits_and_class_names_of_the_set_are_kept(saved):
    """The test split as saved, the validation split from the training records."""
    data = HuggingFace(
        str(saved / "split"), features=["alcohol", "hue"], test_fraction=0.9, num_workers=0
    )
    data.setup("fit")
    assert data.data_spec.class_names == ("one", "two", "three")
    assert data.split_sizes == {"train": 124, "validation": 14, "test": 40}


@pytest.mark.parametrize(
    ("folder", "arguments", "message"),
    [
        ("wine", {"features": ["alcool"]}, "no column 'alcool'"),
        ("wine", {"features": ["hue"], "label": "hue"}, "hue holds values that name no class"),
        ("wine", {"image": "hue"}, "the column hue holds .* no images"),
        ("faces", {"features": ["kind"], "label": "kind"}, "kind, row 0: 'face' is no finite"),
        ("gone", {"features": ["hue"]}, "does not exist"),
        (".", {"features": ["hue"]}, "cannot be read as a saved data set"),
    ],
)
def test_what_does_not_fit_is_named(saved, folder, arguments, message):
    """Columns, rows and folders."""
    data = HuggingFace(str(saved / folder), **arguments)
    with pytest.raises(DataError, match=message):
        data.setup("fit")


def test_images_or_features_but_not_both():
    """One of them says what the inputs are."""
    for arguments in ({}, {"image": "a", "features": ["b"]}):
        with pytest.raises(InvalidValueError, match="data huggingface: image = "):
            HuggingFace("x", **arguments)


def test_a_missing_package_is_named(monkeypatch, saved):
    """The message says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with warnings.catch_warnings(), pytest.raises(DataError, match="the package datasets"):
        HuggingFace(str(saved / "wine"), features=["hue"]).setup("fit")


def test_other_classes_than_the_trained_ones_are_named(saved):
    """Their numbers would mean other classes."""
    arguments = {"features": ["alcohol", "hue"]}
    trained = HuggingFace(str(saved / "split"), **arguments)
    trained.setup("fit")
    data = HuggingFace(str(saved / "split"), **arguments)
    plain = trained.data_spec.to_dict() | {"class_names": ["three", "two", "one"]}
    data.adopt(type(trained.data_spec).from_dict(plain))
    with pytest.raises(DataError, match="classes one, two, three, the training had three, two"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("folder", "arguments", "change", "message"),
    [
        ("wine", {"features": ["alcohol", "hue"]}, {"features": ["hue", "alcohol"]},
         r"features = \['hue', 'alcohol'\] by its .* with \['alcohol', 'hue'\]"),
        ("faces", {"image": "picture", "label": "kind"}, {"fit": "stretch"},
         "fit = 'stretch' by its arguments, .* with 'crop'"),
    ],
)  # fmt: skip
def test_other_columns_or_pixels_are_refused(saved, folder, arguments, change, message):
    """Each column would be standardised by the statistics of another."""
    trained = HuggingFace(str(saved / folder), **arguments)
    trained.setup("fit")
    spec = trained.data_spec
    data = HuggingFace("other", **(arguments | change))
    with pytest.raises(InvalidValueError, match=message):
        data.adopt(type(spec).from_dict(spec.to_dict()))


def test_numbers_far_from_zero_are_standardised_in_double_precision():
    """Float32 holds a billion to 64 only."""
    inputs = torch.tensor([[1e9 - 3.0], [1e9 + 5.0]], dtype=torch.float64)
    found = standardised(inputs, [1e9 + 1.0], [4.0])
    assert found.tolist() == [[-1.0], [1.0]] and found.dtype == torch.float32


def saved_table(root, **columns):
    """Saved in a folder."""
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(root)
    return str(root)


def divided(root, values):
    """A saved table of ten rows."""
    return saved_table(root, x=[float(i) for i in range(10)], label=[0, 1] * 5, key=values)


def test_sixteen_bits_are_read_as_of_a_folder(tmp_path):
    """Of formats that Pillow gives as 32 bits."""
    import datasets
    from PIL import Image

    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "a.pgm")
    with Image.open(tmp_path / "a.pgm") as file:
        assert file.mode == "I"
    content = {"path": None, "bytes": (tmp_path / "a.pgm").read_bytes()}
    table = datasets.Dataset.from_dict({"image": [content]})
    table = table.cast_column("image", datasets.Image())
    arguments = {"size": (1, 3), "fit": "crop", "greyscale": True}
    assert read_row(0, table, "image", **arguments).tolist() == [[[0, 127, 255]]]


@pytest.mark.parametrize("way", VALUES)
def test_a_column_divides_the_rows(tmp_path, way):
    """By column, group and time."""
    path = divided(tmp_path / "a", VALUES[way])
    data = HuggingFace(path, features=["x"], split=way, split_by="key")
    assert positions(data) == EXPECTED[way]


def test_columns_have_types(tmp_path):
    """The names of a ClassLabel, and times of their own type."""
    import datasets

    days = [datetime(2024, 1, day) for day in DAYS]
    path = divided(tmp_path / "a", days)
    data = HuggingFace(path, features=["x"], split="time", split_by="key")
    assert positions(data) == EXPECTED["time"]
    names = ["train", "val", "test"]
    values = ["train" if v.startswith("train") else v for v in VALUES["column"]]
    indices = [names.index({"dev": "val", "Test": "test"}.get(value, value)) for value in values]
    table = datasets.load_from_disk(divided(tmp_path / "b", indices))
    table.cast_column("key", datasets.ClassLabel(names=names)).save_to_disk(tmp_path / "c")
    data = HuggingFace(str(tmp_path / "c"), features=["x"], split="column", split_by="key")
    assert positions(data) == EXPECTED["column"]
    table = datasets.load_from_disk(divided(tmp_path / "d", [-1] * 10))
    table.cast_column("key", datasets.ClassLabel(names=names)).save_to_disk(tmp_path / "e")
    with pytest.raises(DataError, match="split train, column key, row 0: the split is missing"):
        HuggingFace(str(tmp_path / "e"), features=["x"], split="column", split_by="key").load()


def test_splits_of_the_set_stay_as_they_are(tmp_path):
    """The rest is divided; a group on both sides is named."""
    import datasets

    arguments = {"features": ["x"], "split": "group", "split_by": "key"}
    train = datasets.load_from_disk(divided(tmp_path / "a", VALUES["group"]))
    test = datasets.load_from_disk(divided(tmp_path / "b", ["x", "y"] * 5))
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "c")
    assert positions(HuggingFace(str(tmp_path / "c"), **arguments)) == {
        "train": [0, 2, 3, 4, 6, 7, 8, 9],
        "validation": [1, 5],
        "test": list(range(10)),
    }
    datasets.DatasetDict(train=train, test=train).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match="split train, column key, row 0: the group 'a' is among"):
        HuggingFace(str(tmp_path / "d"), **arguments).load()


@pytest.mark.parametrize(
    ("split_by", "error", "message"),
    [
        ("kay", DataError, "no column 'kay'"),
        ("key", DataError, "split train, column key, row 3: the group is missing"),
        ("x", InvalidValueError, "split_by = 'x' is an input or a target"),
        ("label", InvalidValueError, "split_by = 'label' is an input or a target"),
    ],
)
def test_columns_that_do_not_divide_are_named(tmp_path, split_by, error, message):
    """With their row."""
    path = divided(tmp_path / "a", ["a", "b", "c", None, *"defghi"])
    with pytest.raises(error, match=message):
        HuggingFace(path, features=["x"], split="group", split_by=split_by).load()


@pytest.mark.parametrize("cells", [[0.001] * 333, [0.3, 0.1 + 0.2] * 30])
def test_a_column_is_not_divided_by_rounding_errors(tmp_path, cells):
    """Both deviations are above 0; by the first one, 0.00101 would be 2e13."""
    path = saved_table(tmp_path / "a", x=cells, label=[i % 2 for i in range(len(cells))])
    data = HuggingFace(path, features=["x"], validation_fraction=0.0, test_fraction=0.0)
    data.setup("fit")
    assert data.data_spec.preparation["std"] == [1.0]


@pytest.mark.parametrize("kinds", [[False, True], [9, 10], ["no", "yes"]])
def test_classes_of_any_kind_are_those_of_the_run(tmp_path, kinds):
    """In the order of their values; a test of the run finds each of them again."""
    labels = [kinds[i % 2] for i in range(20)]
    path = saved_table(tmp_path / "a", x=[float(i % 2) for i in range(20)], label=labels)
    trained = HuggingFace(path, features=["x"])
    trained.setup("fit")
    assert trained.data_spec.class_names == tuple(map(str, kinds))
    data = HuggingFace(path, features=["x"])
    data.adopt(type(trained.data_spec).from_dict(trained.data_spec.to_dict()))
    data.setup("test")
    rows, classes = data.split("test").__getitems__(range(4))
    assert ((rows[:, 0] > 0) == (classes == 1)).all() and classes.unique().tolist() == [0, 1]


def test_a_new_class_is_named(tmp_path):
    """The training had no such."""
    trained = HuggingFace(saved_table(tmp_path / "a", x=[1.0, 2.0] * 9, label=[True, False] * 9),
                          features=["x"])  # fmt: skip
    trained.setup("fit")
    data = HuggingFace(saved_table(tmp_path / "b", x=[1.0, 2.0] * 9, label=["True", "maybe"] * 9),
                       features=["x"])  # fmt: skip
    data.adopt(trained.data_spec)
    with pytest.raises(DataError, match="the split train has the new class 'maybe'"):
        data.setup("test")


@pytest.mark.parametrize("nothing", [None, -1])
def test_records_without_a_class_are_refused(tmp_path, nothing):
    """As the library writes them: null, and -1 in a test split whose classes are secret."""
    import datasets

    kinds = datasets.ClassLabel(names=["one", "two"])
    columns = datasets.Features(x=datasets.Value("float32"), label=kinds)
    table = datasets.Dataset.from_dict(
        {"x": [1.0, 2.0, 3.0] * 9, "label": [0, 1, nothing] * 9}, features=columns
    )
    table.save_to_disk(tmp_path / "a")
    with pytest.raises(DataError, match="label holds records without a class"):
        HuggingFace(str(tmp_path / "a"), features=["x"]).setup("fit")
