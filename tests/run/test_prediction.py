"""predict: a CSV with the class and the probabilities of each input."""

import csv
import os
import tempfile
import weakref
from itertools import islice

import numpy as np
import pytest
import torch

from dlplug import config
from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, StorageError
from dlplug.run import prediction, verbs
from dlplug.run.folder import Run
from dlplug.run.prediction_output import new_names
from dlplug.run.report import print_result
from dlplug.tasks.classification import Classification


@pytest.fixture(scope="module")
def trained(digits_file, tmp_path_factory):
    experiment = config.load([digits_file])
    return Run(verbs.fit(experiment, root=tmp_path_factory.mktemp("runs"), progress=False).run)


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def predict(run, **arguments):
    return verbs.predict(config.load([run.resolved]), run=run, progress=False, **arguments)


def test_the_test_split_in_order(trained):
    """One row for each test record; the share of right ones is the test's accuracy."""
    result = predict(trained)
    assert result.predictions == trained.path / "predictions.csv"
    rows = rows_of(result.predictions)
    data = Digits()
    data.setup("test")
    _, labels = data.split("test").__getitems__(range(359))
    assert [int(row["index"]) for row in rows] == list(range(359))
    right = np.mean(
        [int(row["predicted"]) == label for row, label in zip(rows, labels, strict=True)]
    )
    tested = verbs.test(config.load([trained.resolved]), run=trained, progress=False)
    assert right == pytest.approx(tested.metrics["test_accuracy"])
    assert list(rows[0]) == ["index", "predicted", *(f"p_{digit}" for digit in range(10))]
    assert sum(float(rows[0][f"p_{digit}"]) for digit in range(10)) == pytest.approx(1, abs=1e-4)


def test_a_second_prediction_is_a_second_file(trained):
    """Nothing in a run folder is overwritten."""
    first, second = predict(trained), predict(trained)
    assert first.predictions != second.predictions
    assert first.predictions.exists() and second.predictions.exists()
    names = [path.name for path in islice(new_names(trained.path), 3)]
    assert names == ["predictions", "predictions-2", "predictions-3"]


def test_an_array_needs_no_training_data(trained, tmp_path, monkeypatch):
    """Raw images from a file, with the data spec of the checkpoint; nothing is loaded."""
    from sklearn.datasets import load_digits

    np.save(tmp_path / "images.npy", load_digits().images[:7])
    content = torch.load(trained.best, weights_only=True)
    spec = DataSpec.from_dict(content["dlplug"]["data_spec"])

    def refuse(self):
        raise AssertionError("the training data was loaded")

    monkeypatch.setattr(Digits, "load", refuse)
    experiment = config.load([trained.resolved], data_spec=spec)
    result = verbs.predict(
        experiment,
        run=trained,
        input=tmp_path / "images.npy",
        output=tmp_path / "out.csv",
        progress=False,
    )
    rows = rows_of(result.predictions)
    assert result.predictions == tmp_path / "out.csv" and len(rows) == 7
    task = experiment.build_task()
    task.load_state_dict(content["state_dict"])
    task.eval()
    expected = task.predict_step(experiment.datamodule.prepare_input(load_digits().images[:7]), 0)
    found = [[float(row[f"p_{digit}"]) for digit in range(10)] for row in rows]
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 9, 9)), r"shape \(3, 9, 9\) is no image"),
        (np.array(["a", "b"]), "holds no pixels"),
        (b"not an array", "cannot be read as an array"),
        (np.array([{}], dtype=object), "cannot be read as an array"),
        (None, "cannot be read as an array"),
    ],
    ids=["another size", "text", "another format", "objects", "missing"],
)
def test_inputs_that_do_not_fit_are_refused(trained, tmp_path, content, message):
    """The file and what is wrong with it."""
    path = tmp_path / "x.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        predict(trained, input=path)


def test_an_archive_is_refused(trained, tmp_path):
    """Several arrays in one file."""
    np.savez(tmp_path / "x.npz", a=np.zeros((1, 8, 8)))
    with pytest.raises(DataError, match="archive of several arrays"):
        predict(trained, input=tmp_path / "x.npz")


def test_there_must_be_a_place_to_write_to(trained, tmp_path):
    """Without a run an output is needed, and its folder must be there."""
    experiment = config.load([trained.resolved])
    with pytest.raises(ConfigError, match="no place for the predictions"):
        verbs.predict(experiment, ckpt_path=trained.best, progress=False)
    with pytest.raises(ConfigError, match="does not exist"):
        predict(trained, output=tmp_path / "no" / "x.csv")


@pytest.mark.parametrize("name", ["", ".", "folder"])
def test_a_folder_is_no_output(trained, tmp_path, monkeypatch, name):
    """It is said before anything is predicted."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prediction, "_predict", None)
    with pytest.raises(ConfigError, match="is a folder"):
        predict(trained, output=name)


def test_a_link_stays_a_link(trained, tmp_path):
    """The file behind it is written."""
    (tmp_path / "store").mkdir()
    link, file = tmp_path / "a.csv", tmp_path / "store" / "b.csv"
    link.symlink_to(file)
    for _ in range(2):  # there is no such file, and there is one
        assert predict(trained, output=link).predictions == link
        assert link.is_symlink() and len(rows_of(file)) > 100
    assert os.listdir(tmp_path / "store") == ["b.csv"]
    (tmp_path / "c.csv").symlink_to(tmp_path / "no" / "d.csv")
    with pytest.raises(ConfigError, match="does not exist"):
        predict(trained, output=tmp_path / "c.csv")


def test_a_pipe_stays_a_pipe(trained, tmp_path):
    """Whoever reads gets the whole table; nothing takes the pipe's place, nor that of a device."""
    np.save(tmp_path / "x.npy", np.zeros((5, 8, 8)))
    chosen = {"input": tmp_path / "x.npy"}
    whole = predict(trained, output=tmp_path / "whole.csv", **chosen).predictions
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = predict(trained, output=pipe, **chosen)
        assert os.read(reader, 1 << 16) == whole.read_bytes()
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    print_result(result)


def test_a_new_table_is_whole_when_it_is_seen(trained, monkeypatch):
    """Whatever a reader looks at while it is written, or after a kill; a failure leaves nothing."""
    before, seen = set(trained.path.iterdir()), []
    synchronise = os.fsync

    def watched(handle):
        seen.extend(
            path.read_text() for path in trained.path.glob("predictions*") if path not in before
        )
        synchronise(handle)

    monkeypatch.setattr(os, "fsync", watched)
    whole = predict(trained).predictions
    assert seen and set(seen) == {whole.read_text()}
    whole.unlink()

    def fail(handle):
        raise OSError("full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="full"):
        predict(trained)
    assert set(trained.path.iterdir()) == before


def test_a_table_takes_no_arrays_name(trained, tmp_path, monkeypatch):
    """It would be written over them, without a word; said before anything is predicted."""
    arrays = {"ones": np.ones(3)}
    monkeypatch.setattr(Classification, "prediction_arrays", lambda *args: arrays, raising=False)
    assert predict(trained, output=tmp_path / "x.csv").arrays == tmp_path / "x.npz"
    assert np.load(tmp_path / "x.npz")["ones"].tolist() == [1, 1, 1]
    monkeypatch.setattr(prediction, "_predict", None)
    with pytest.raises(ConfigError, match=r"y\.npz is the name of the arrays that") as error:
        predict(trained, output=tmp_path / "y.npz")
    assert error.value.fix == f"give --output {tmp_path / 'y.csv'}"


def test_several_checkpoints_are_averaged(trained):
    """The mean of the probabilities, and the class that is most probable then."""
    paths = [trained.best, trained.previous]
    alone = [rows_of(predict(trained, ckpt_path=path).predictions) for path in paths]
    result = predict(trained, ckpt_path=paths)
    assert result.to_dict()["checkpoints"] == list(map(str, paths)) and result.checkpoint is None
    together = rows_of(result.predictions)
    for first, second, mean in zip(*alone, together, strict=True):
        expected = [(float(first[f"p_{d}"]) + float(second[f"p_{d}"])) / 2 for d in range(10)]
        found = [float(mean[f"p_{d}"]) for d in range(10)]
        assert found == pytest.approx(expected, abs=1e-5)
        assert int(mean["predicted"]) == np.argmax(found)
    assert alone[0] != alone[1]


class Counting:
    """Predictions that are alive, counted before each batch."""

    def __init__(self, monkeypatch):
        self.alive, self.seen, step = [], [], Classification.predict_step

        def predict_step(task, batch, batch_idx):
            self.alive = [one for one in self.alive if one() is not None]
            self.seen.append(len(self.alive))
            predictions = step(task, batch, batch_idx)
            self.alive.append(weakref.ref(predictions))
            return predictions

        monkeypatch.setattr(Classification, "predict_step", predict_step)


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_written_is_not_kept(trained, tmp_path, monkeypatch, number):
    """Of 90 batches at most one is in memory when the next comes, with several checkpoints too."""
    counting = Counting(monkeypatch)
    experiment = config.load([trained.resolved], [("data.batch_size", "4")])
    verbs.predict(
        experiment,
        run=trained,
        ckpt_path=[trained.best, trained.previous][:number],
        output=tmp_path / "out.csv",
        progress=False,
    )
    assert len(counting.seen) == 90 * number and max(counting.seen) <= 1
    assert len(rows_of(tmp_path / "out.csv")) == 359


@pytest.mark.parametrize("number", [1, 2])
def test_a_failure_leaves_what_was_there(trained, tmp_path, monkeypatch, number):
    """Half of the table is written when it comes; nothing of it is seen, then or afterwards."""
    path, seen = tmp_path / "out.csv", []
    path.write_text("old")

    def predict_step(task, batch, batch_idx):
        seen.append([file.name for file in tmp_path.iterdir()])
        if len(seen) == 6 * number:
            raise OSError("the data is gone")
        return step(task, batch, batch_idx)

    step = Classification.predict_step
    monkeypatch.setattr(Classification, "predict_step", predict_step)
    with pytest.raises(OSError, match="the data is gone"):
        predict(trained, ckpt_path=[trained.best, trained.previous][:number], output=path)
    assert all(names == ["out.csv"] for names in seen)
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == "old"


def test_a_full_disk_is_told(trained, tmp_path, monkeypatch):
    """As an error of the file, in the middle of it."""

    full = open("/dev/full", "w+b")  # noqa: SIM115 - closed by whoever takes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: full)
    with pytest.raises(StorageError, match=r"predictions\.csv cannot be written: No space left"):
        predict(trained, output=tmp_path / "out.csv")
    assert not list(tmp_path.iterdir())
