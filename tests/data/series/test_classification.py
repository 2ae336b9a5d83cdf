"""series_classification: splits, standardising, inputs from outside, and that it is learned."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from dlplug.architectures.recurrent import GRU
from dlplug.architectures.tcn import TCN
from dlplug.data.series.classification import SeriesClassification
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES, positions

FOLDER = "package:sktime/datasets/data"
HEADER = "@classLabel true a b\n@data\n"


def from_file(tmp_path, lines, **arguments):
    (tmp_path / "x.ts").write_text(HEADER + "\n".join(lines) + "\n")
    data = SeriesClassification(str(tmp_path / "x.ts"), **arguments)
    data.setup("fit")
    return data


def shipped(name, **arguments):
    if find_spec("sktime") is None:
        pytest.skip("the series come with sktime, which is not installed")
    path = f"{FOLDER}/{name}/{name}"
    data = SeriesClassification(f"{path}_TRAIN.ts", f"{path}_TEST.ts", **arguments)
    data.setup("fit")
    return data


LINES = [f"{i},{i + 2}:{'ab'[i % 2]}" for i in range(20)]


def test_one_file_is_divided(tmp_path):
    """By class, and the shares are those asked for."""
    data = from_file(tmp_path, LINES)
    assert data.split_sizes == {"train": 14, "validation": 2, "test": 4}
    assert data.data_spec.class_names == ("a", "b")
    assert (data.data_spec.num_features, data.data_spec.sequence_length) == (1, 2)


def test_means_come_from_the_training_series(tmp_path):
    """Mean 0 and deviation 1 there, and not elsewhere."""
    data = from_file(tmp_path, LINES)
    inputs, _ = data.split("train").__getitems__(range(14))
    assert abs(float(inputs.mean())) < 1e-6 and abs(float(inputs.std(correction=0)) - 1) < 1e-6


def test_each_series_by_its_own(tmp_path):
    """standardise: series; one that never changes is all zeros."""
    data = from_file(tmp_path, [*LINES, "5,5:a"], standardise="series", validation_fraction=0)
    inputs, _ = data.split("train").__getitems__(range(data.split_sizes["train"]))
    assert {tuple(row) for row in inputs.flatten(1).tolist()} <= {(-1, 1), (0, 0)}


def test_shorter_series_begin_with_zeros(tmp_path):
    """They end together."""
    data = from_file(tmp_path, [*LINES, "1:a"], standardise="none", test_fraction=0.0)
    inputs, _ = data.split("train").__getitems__(range(data.split_sizes["train"]))
    assert [0.0, 1.0] in inputs.flatten(1).tolist()


def test_a_model_takes_inputs_without_the_training_series(tmp_path):
    """What was learned comes from the saved spec; classes in the file play no part."""
    trained = from_file(tmp_path, LINES)
    data = SeriesClassification("nowhere.ts")
    data.adopt(trained.data_spec)
    (tmp_path / "new.ts").write_text(HEADER + "3,4:c\n")
    np.save(tmp_path / "new.npy", np.array([[3.0], [4.0]]))
    mean, std = (trained.data_spec.preparation[key][0] for key in ("mean", "std"))
    for name in ("new.ts", "new.npy"):
        batch = data.read_input(tmp_path / name).__getitems__([0])
        torch.testing.assert_close(batch, (torch.tensor([[[3.0], [4.0]]]) - mean) / std)


def test_another_way_to_standardise_is_refused(tmp_path):
    """By the means of the training a network has learned, and not by none."""
    spec = from_file(tmp_path, LINES).data_spec
    data = SeriesClassification("other.ts", standardise="none")
    with pytest.raises(InvalidValueError, match=r"standardise = 'none' by its .* with 'channel'"):
        data.adopt(type(spec).from_dict(spec.to_dict()))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*LINES, "1,?:a"], "x.ts, line 23, channel 1, value 2: no value"),
        (["1,2:a"] * 9, "x.ts: 1 classes\n  known: two or more"),
    ],
)
def test_bad_series_are_named(tmp_path, lines, message):
    """With file and line."""
    with pytest.raises(DataError) as error:
        from_file(tmp_path, lines)
    assert message in str(error.value)


def test_a_test_file_is_like_the_training_file(tmp_path):
    """Another class is named."""
    (tmp_path / "t.ts").write_text(HEADER + "1,2:c\n")
    with pytest.raises(DataError, match=r"t.ts, line 3: class 'c' is none of the training's"):
        from_file(tmp_path, LINES, test_path=str(tmp_path / "t.ts"))


def test_a_series_without_a_class_is_named(tmp_path):
    """Nothing is no class of its own; inputs from outside need none."""
    rows = [f"{i % 2},{i},{i + 2}" for i in range(20)]
    (tmp_path / "x.csv").write_text("\n".join([*rows, ",3,4"]) + "\n")
    with pytest.raises(DataError, match=r"x.csv, line 21: class '' is none of the training's"):
        SeriesClassification(str(tmp_path / "x.csv")).setup("fit")
    data = SeriesClassification(str(tmp_path / "x.csv"), quarantine=0.1)
    data.setup("fit")
    assert len(data.read_input(tmp_path / "x.csv")) == 21


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 2, 3)), "2 values of 3 channels\n  known: at most 2 values of 1 channels"),
        (np.zeros((3, 1)), "3 values of 1 channels"),
        (np.zeros(3), r"of shape (3,) holds no series"),
    ],
)
def test_inputs_of_another_shape(tmp_path, array, message):
    """What fits is said."""
    data = from_file(tmp_path, LINES)
    np.save(tmp_path / "new.npy", array)
    with pytest.raises(DataError) as error:
        data.read_input(tmp_path / "new.npy")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"standardise": "x"}, "standardise = 'x'\n  known: channel, series, none"),
        ({"fill": "x"}, "fill = 'x'"),
        ({"test_path": "t.ts", "test_fraction": 0.1}, "test_fraction = 0.1 beside test_path"),
    ],
)
def test_values_out_of_range(arguments, message):
    """Nothing is accepted and ignored."""
    with pytest.raises(InvalidValueError, match=message):
        SeriesClassification("x.ts", **arguments)


@pytest.mark.parametrize(
    ("make", "name", "epochs"), [(GRU, "JapaneseVowels", 8), (TCN, "ItalyPowerDemand", 40)]
)
def test_networks_tell_the_classes_apart(make, name, epochs):
    """Speakers by 7 to 29 steps of 12 channels, seasons by 24 hours: far above the majority."""
    data = shipped(name, batch_size=32, validation_fraction=0.0)
    torch.manual_seed(0)
    spec = data.data_spec
    model = make(spec.num_classes, num_features=spec.num_features, dim=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    train = data.split("train")
    for _ in range(epochs):
        for rows in torch.randperm(len(train)).split(32):
            inputs, labels = train.__getitems__(rows)
            optimizer.zero_grad()
            cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    data.setup("test")
    test = data.split("test")
    inputs, labels = test.__getitems__(range(len(test)))
    with torch.no_grad():
        right = float((model.eval()(inputs).argmax(1) == labels).float().mean())
    majority = float(labels.bincount().max() / len(labels))
    assert majority < 0.6 and right > 0.85


@pytest.mark.parametrize("standardise", ["channel", "series"])
def test_a_channel_that_never_changes_is_zero(tmp_path, standardise):
    """0.1 is no binary fraction: its deviation is rounding, by which nothing may be divided."""
    same = ",".join(["0.1"] * 7)
    lines = [f"{i},1,2,3,4,5,6:{same}:{'ab'[i % 2]}" for i in range(20)]
    data = from_file(tmp_path, lines, standardise=standardise)
    inputs, _ = data.split("train").__getitems__(range(data.split_sizes["train"]))
    assert float(inputs[..., 1].abs().max()) < 1e-6 < float(inputs[..., 0].abs().max())


@pytest.mark.parametrize("way", VALUES)
def test_a_second_file_divides_the_series(tmp_path, way):
    """One line for each, in the same order."""
    (tmp_path / "x.ts").write_text(HEADER + "\n".join(LINES[:10]) + "\n")
    (tmp_path / "keys.txt").write_text("\n".join(VALUES[way]) + "\n")
    data = SeriesClassification(
        str(tmp_path / "x.ts"), split=way, split_by=str(tmp_path / "keys.txt")
    )
    assert positions(data) == EXPECTED[way]


def test_a_test_file_leaves_the_rest_to_be_divided(tmp_path):
    """By group; the test's are those of its file."""
    for name in ("x.ts", "t.ts"):
        (tmp_path / name).write_text(HEADER + "\n".join(LINES[:10]) + "\n")
    (tmp_path / "keys.txt").write_text("\n".join(VALUES["group"]))
    arguments = {"split": "group", "split_by": str(tmp_path / "keys.txt")}
    data = SeriesClassification(str(tmp_path / "x.ts"), str(tmp_path / "t.ts"), **arguments)
    assert positions(data) == {
        "train": [0, 2, 3, 4, 6, 7, 8, 9],
        "validation": [1, 5],
        "test": list(range(10, 20)),
    }


def test_the_share_of_bad_series_is_that_of_both_files(tmp_path):
    """Two of the twenty of each: three bad ones among the first are few enough."""
    (tmp_path / "x.ts").write_text(HEADER + "\n".join(["oops:a"] * 3 + LINES[3:]) + "\n")
    (tmp_path / "t.ts").write_text(HEADER + "\n".join(LINES) + "\n")
    data = SeriesClassification(str(tmp_path / "x.ts"), str(tmp_path / "t.ts"), quarantine=0.1)
    data.setup("fit")
    assert len(data.quarantine) == 3 and data.quarantine.allowed == 4
    with pytest.raises(DataError, match=r"line 3, channel 1: 'oops' is no number \(and 2 more"):
        SeriesClassification(str(tmp_path / "x.ts"), str(tmp_path / "t.ts"), quarantine=0.07).setup(
            "fit"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\n", r"keys\.txt: 2 lines for the 3 series of .*x\.ts\n  fix:   write one line for"),
        ("a\n\nb\n", r"keys\.txt, line 2: the group is missing"),
        (None, r"keys\.txt.* does not exist"),
    ],
)
def test_files_that_do_not_divide_are_named(tmp_path, text, message):
    """With their line."""
    if text is not None:
        (tmp_path / "keys.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        from_file(tmp_path, LINES[:3], split="group", split_by=str(tmp_path / "keys.txt"))
