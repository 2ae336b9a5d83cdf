"""Predictions of several checkpoints: each by its own data, averaged where there is a mean."""

import csv

import numpy as np
import pytest
import torch

from dlplug import config
from dlplug.cli import main
from dlplug.errors import CheckpointError, ConfigError, DlplugError
from dlplug.run import verbs
from dlplug.run.ensemble import mean_of, own_experiments
from dlplug.run.folder import Run
from dlplug.tasks.checkpoint import saved_spec

CONFIG = """
name: {name}
architecture: {{name: {architecture}}}
data: {{name: csv, path: {path}, target: y, batch_size: 32}}
trainer: {{max_epochs: 1, accelerator: cpu}}
"""


def trained(folder, name, size, colours, classes=("no", "yes"), architecture="mlp"):
    """A run on numbers of some size and on words; each data set has words of its own."""
    path = folder / f"{name}.csv"
    numbers = np.random.default_rng(0).normal(size, size, 120)
    rows = [
        f"{number},{colours[i % len(colours)]},{classes[i % len(classes)]}"
        for i, number in enumerate(numbers)
    ]
    path.write_text("\n".join(["x,colour,y", *rows]) + "\n")
    file = folder / f"{name}.yaml"
    file.write_text(CONFIG.format(name=name, path=path, architecture=architecture))
    return Run(verbs.fit(config.load([file]), root=folder / "runs", progress=False).run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With two inputs, such as both of the first two runs know."""
    folder = tmp_path_factory.mktemp("ensemble")
    (folder / "in.csv").write_text("x,colour\n1.0,red\n70.0,blue\n")
    return folder


@pytest.fixture(scope="module")
def small(folder):
    """Numbers about 1, two words."""
    return trained(folder, "small", 1, ["red", "blue"])


@pytest.fixture(scope="module")
def large(folder):
    """Numbers about 100, four words in another order: means and categories differ."""
    return trained(folder, "large", 100, ["green", "blue", "black", "red"])


def predicted(folder, run, *checkpoints):
    """Probabilities ``(2, 2)``, by the command line."""
    words = [word for path in checkpoints for word in ("--ckpt_path", str(path))]
    path = folder / "out.csv"
    places = ["--input", str(folder / "in.csv"), "--output", str(path)]
    assert main(["predict", "--run", str(run.path), *words, *places, "--json"]) == 0
    with path.open() as file:
        return np.array([[float(r["p_no"]), float(r["p_yes"])] for r in csv.DictReader(file)])


def refused(folder, run, *checkpoints):
    """The error of the same."""
    spec = saved_spec(torch.load(run.best, weights_only=True))
    arguments = {"input": folder / "in.csv", "output": folder / "no.csv", "progress": False}
    experiment = config.load([run.resolved], data_spec=spec)
    with pytest.raises(DlplugError) as error:
        verbs.predict(experiment, run=run, ckpt_path=checkpoints, **arguments)
    assert not (folder / "no.csv").exists()
    return error.value


def test_each_checkpoint_reads_the_inputs_by_its_own_data(folder, small, large):
    """The mean of what each predicts alone, in either order, from either run's config."""
    alone = [predicted(folder, run, run.best) for run in (small, large)]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    for run, *checkpoints in ((small, small, large), (small, large, small), (large, small, large)):
        together = predicted(folder, run, *(one.best for one in checkpoints))
        np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", [("no", "yes", "maybe"), ("no", "perhaps")])
def test_other_classes_cannot_be_averaged(folder, small, classes):
    """One error that says which, before anything is predicted."""
    other = trained(folder, "other", 1, ["red", "blue"], classes)
    error = refused(folder, small, small.best, other.best)
    assert isinstance(error, ConfigError)
    text = f"cannot be averaged: {other.best} was trained with class_names ="
    assert f"{text} {tuple(sorted(classes))}, which is ('no', 'yes') in {small.best}" in str(error)


def test_another_architecture_is_refused_by_name(folder, small):
    """As without other data."""
    other = trained(folder, "deep", 5, ["red", "blue"], architecture="ft_transformer")
    error = refused(folder, small, small.best, other.best)
    assert isinstance(error, CheckpointError)
    assert "is of architecture dlplug:ft_transformer(" in str(error)
    assert "the config names dlplug:mlp(" in str(error)


def test_equal_data_takes_the_experiment_as_it_is(small):
    """Nothing is resolved anew."""
    experiment = config.load([small.resolved])
    assert own_experiments(experiment, [small.best, small.last]) == [experiment] * 2


def test_what_has_no_mean_is_refused():
    """Classes, texts, and numbers of several sizes."""
    for parts in ([torch.zeros(2, dtype=torch.uint8)] * 2, [["a"], ["b"]]):
        with pytest.raises(ConfigError, match="cannot be averaged: they are no probabilities"):
            mean_of(parts)
    with pytest.raises(ConfigError, match=r"several sizes: \(2, 3\) and \(2, 4\)"):
        mean_of([torch.zeros(2, 3), torch.zeros(2, 4)])
    assert mean_of([["a"]]) == ["a"]
    assert mean_of([torch.zeros(2), torch.ones(2)]).tolist() == [0.5, 0.5]
