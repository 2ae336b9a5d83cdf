"""Checkpoints whose records differ: each is used with its own, and overrides are laid over it."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from dlplug import config
from dlplug.cli import main
from dlplug.errors import CheckpointError, ConfigError, InvalidValueError
from dlplug.run import ensemble, verbs
from dlplug.run.ensemble import own_experiments
from dlplug.run.folder import Run
from dlplug.storage.checkpoint import read_outline
from dlplug.tasks.checkpoint import saved_spec

CONFIG = """
name: {name}
architecture: {{name: {architecture}}}
task: forecasting
loss: mse
metrics: [mae, mase]
data:
  name: series_forecasting
  path: {path}
  targets: y
  input_length: {length}
  horizon: {horizon}
  batch_size: 32
trainer: {{max_epochs: 1, accelerator: cpu}}
"""


def trained(folder, name, length, architecture="gru", horizon=2, size=1.0):
    """A forecaster that looks back as many steps as ``length``."""
    path = folder / f"{name}.csv"
    numbers = size * np.sin(np.arange(200) / 3) + np.random.default_rng(0).normal(0, size / 9, 200)
    path.write_text("\n".join(["y", *map(str, numbers)]) + "\n")
    file = folder / f"{name}.yaml"
    values = {"name": name, "path": path, "length": length, "horizon": horizon}
    file.write_text(CONFIG.format(architecture=architecture, **values))
    return Run(verbs.fit(config.load([file]), root=folder / "runs", progress=False).run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the past of a series, longer than any window."""
    folder = tmp_path_factory.mktemp("records")
    rows = ["y", *(str(np.cos(i / 2)) for i in range(30))]
    (folder / "in.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def short(folder):
    """Looks back 8 steps, at numbers about 1."""
    return trained(folder, "short", 8)


@pytest.fixture(scope="module")
def long(folder):
    """Looks back 16 steps, at numbers about 100."""
    return trained(folder, "long", 16, size=100.0)


def command(folder, run, checkpoints, *more):
    words = [word for path in checkpoints for word in ("--ckpt_path", str(path))]
    path = folder / "out.csv"
    places = ["--input", str(folder / "in.csv"), "--output", str(path)]
    return ["predict", "--run", str(run.path), *words, *places, "--json", *more]


def predicted(folder, run, *checkpoints):
    """What is forecast from the file, by the command line."""
    assert main(command(folder, run, checkpoints)) == 0
    with (folder / "out.csv").open() as file:
        return np.array([[float(v) for v in list(r.values())[1:]] for r in csv.DictReader(file)])


def loaded(run, *overrides):
    """As ``predict --run`` loads it."""
    spec = saved_spec(read_outline(run.best))
    return config.load([run.resolved], overrides, data_spec=spec)


def test_windows_are_each_checkpoints_own(folder, short, long):
    """The mean of what each forecasts alone, in either order, and one by the other's run."""
    alone = [predicted(folder, run, run.best) for run in (short, long)]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    np.testing.assert_allclose(predicted(folder, short, long.best), alone[1], rtol=1e-5)
    for run, *both in ((short, short, long), (long, short, long), (short, long, short)):
        together = predicted(folder, run, *(one.best for one in both))
        np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-4)


def test_overrides_are_laid_over_each_record(short, long):
    """On the architecture and the data, whose other arguments are those of the record."""
    overrides = [("architecture.dropout", "0.25"), ("data.batch_size", "4")]
    for found, length in zip(
        own_experiments(loaded(short, *overrides), [short.best, long.best]), (8, 16), strict=True
    ):
        assert found.resolved["architecture"]["dropout"] == 0.25
        assert found.resolved["data"]["batch_size"] == 4
        assert found.resolved["data"]["input_length"] == length
        assert found.data_spec.sequence_length == length
        errors = found.data_spec.naive_error
        assert found.resolved["metrics"][1]["naive_error"] == list(errors)


def test_other_horizons_are_refused(folder, short, capsys):
    """Before anything is predicted."""
    other = trained(folder, "far", 8, horizon=3)
    (folder / "out.csv").unlink(missing_ok=True)
    assert main(command(folder, short, [short.best, other.best])) == 2
    assert "was trained with horizon = 3, which is 2 in" in capsys.readouterr().out
    assert not (folder / "out.csv").exists()


def test_predictions_of_each_position_are_of_one_length(short, monkeypatch):
    """They have no mean where one is longer; what predicts for the whole may look back further."""
    experiment = loaded(short)
    whole = experiment.data_spec
    for spec in (whole, replace(whole, per_position=True)):
        specs = [spec, replace(spec, sequence_length=9)]
        monkeypatch.setattr(ensemble, "saved_spec", lambda *_, specs=specs: specs.pop(0))
        if spec is whole:
            assert len(own_experiments(experiment, [short.best, short.last])) == 2
            continue
        with pytest.raises(ConfigError, match="trained with sequence_length = 9, which is 8 in"):
            own_experiments(experiment, [short.best, short.last])


def test_a_window_of_another_length_is_refused(folder, short):
    """An override that the weights do not fit, though they take it."""
    experiment = loaded(short, ("data.input_length", "4"))
    with pytest.raises(InvalidValueError, match=r"input_length = 4.*trained with 8 and 2"):
        verbs.predict(experiment, run=short, input=folder / "in.csv", progress=False)


def test_a_named_checkpoint_does_without_the_best(folder, short, capsys):
    """Which is damaged; asked for by itself, it is an error."""
    content = short.best.read_bytes()
    try:
        short.best.write_bytes(content[:100])
        assert predicted(folder, short, short.last).shape == (1, 2)
        capsys.readouterr()
        assert main(command(folder, short, [])) == 2
        assert "best.ckpt" in capsys.readouterr().out
    finally:
        short.best.write_bytes(content)


def test_it_may_belong_to_other_data(folder, short, long):
    """What the config of the run fits is known by its last checkpoint, too."""
    expected = predicted(folder, long, long.best)
    content = short.best.read_bytes()
    try:
        short.best.write_bytes(content[:100])
        found = predicted(folder, short, long.best)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    finally:
        short.best.write_bytes(content)


def test_inputs_are_read_once_for_checkpoints_that_fit(folder, short, monkeypatch):
    """One time for one experiment; never before all checkpoints are seen to fit."""
    from dlplug.run import prediction

    read, loader = [], prediction.input_loader
    monkeypatch.setattr(prediction, "input_loader", lambda *a: read.append(1) or loader(*a))
    arguments = {"input": folder / "in.csv", "output": folder / "x.csv", "progress": False}
    both = [short.best, short.last]
    verbs.predict(loaded(short), run=short, ckpt_path=both, **arguments)
    assert len(read) == 1
    other = trained(folder, "convolutional", 8, architecture="tcn")
    with pytest.raises(CheckpointError, match="is of architecture dlplug:tcn"):
        verbs.predict(loaded(short), run=short, ckpt_path=[*both, other.best], **arguments)
    assert len(read) == 1
