"""Whether the data of an evaluation or a resume is that of the training, and so divided."""

import json
import shutil

import pytest
import torch

from dlplug import config
from dlplug.cli import main
from dlplug.data.records import Records
from dlplug.data.tables.csv import CSV
from dlplug.errors import DataError
from dlplug.run import verbs
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.run.folder import Run
from tests.data.vision.pictures import write_faces

CONFIG = """
name: tiny
architecture: {{name: mlp, hidden: [4]}}
data: {{name: csv, path: {path}, target: kind, features: [size], batch_size: 32}}
trainer: {{max_epochs: 1, accelerator: cpu}}
"""
EDITED = "the config is the same: records were added, removed, moved or edited"
LONGER = ("trainer.max_epochs", "2")


def table(path, count, first=0):
    """Two classes and a number that tells the record."""
    rows = (f"{i},{'ab'[i % 2]},{'train' if i % 4 else 'val' if i % 8 else 'test'}" for i in count)
    path.write_text("\n".join(["size,kind,part", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One training on a table of 200 records, ``t.csv``."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(CONFIG.format(path=table(folder / "t.csv", range(200))))
    fitted(folder)
    return folder


@pytest.fixture
def file(folder):
    """The table, which a test may change."""
    yield folder / "t.csv"
    table(folder / "t.csv", range(200))


@pytest.fixture
def trained(folder, file, tmp_path):
    """The run, which a test may change."""
    return Run(shutil.copytree(folder / "runs/tiny/1", tmp_path / "runs/tiny/1"))


def fitted(folder, *overrides):
    experiment = config.load([folder / "tiny.yaml"], overrides)
    return Run(verbs.fit(experiment, root=folder / "runs", progress=False).run)


def again(run, *overrides):
    return config.load([run.resolved], overrides)


def evaluate(verb, run, *overrides, **arguments):
    experiment = again(run, *overrides)
    return getattr(verbs, verb)(experiment, run=run, progress=False, **arguments)


def records_of(path, split, **arguments):
    """The numbers that tell a split's records."""
    data = CSV(str(path), "kind", features=["size"], **arguments)
    data.setup("test")
    rows = path.read_text().splitlines()[1:]
    return {int(rows[i].split(",")[0]) for i in data.split(split).indices.tolist()}


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_records_that_were_added_are_refused(trained, file, verb):
    """They move others from one split to another, so that a test would be on trained records."""
    evaluate(verb, trained)
    part = {"validate": "validation"}.get(verb, "test")
    before = records_of(file, "train")
    table(file, range(210))
    assert before & records_of(file, part)
    tests = trained.status["tests"]
    with pytest.raises(DataError) as error:
        evaluate(verb, trained)
    count = {"validation": "20 records here, 20 there, others", "test": "42 records here, 40 there"}
    assert error.value.what == (
        f"the {part} split is not the one of the training ({count[part]}): the model may have"
        " learned from what is in it"
    )
    assert error.value.where == str(trained.best)
    assert error.value.known == EDITED
    assert error.value.fix == (
        "bring the records back as they were; other data is known by another data.path;"
        " --any_split takes this all the same"
    )
    assert trained.status["tests"] == tests


def test_an_earlier_version_may_have_divided_otherwise(tmp_path, monkeypatch):
    """It left a split of small classes empty, which takes records of the training now."""
    rows = "\n".join(f"{i},c{i // 4}" for i in range(80))
    (tmp_path / "t.csv").write_text(f"size,kind\n{rows}\n")
    (tmp_path / "tiny.yaml").write_text(CONFIG.format(path=tmp_path / "t.csv"))
    with monkeypatch.context() as patch, pytest.warns(match="leaves no validation records"):
        patch.setattr("dlplug.data.split._fill", lambda *arguments: None)
        run = fitted(tmp_path)
    evaluate("test", run)
    with pytest.raises(DataError, match="8 records here, 0 there") as error:
        evaluate("validate", run)
    earlier = "an earlier version divided them, which left validation empty for small classes"
    assert error.value.known == f"{EDITED}, or {earlier}"


def test_records_in_another_order_are_refused(trained, file):
    """As many, and others: the division goes by position."""
    before = records_of(file, "train")
    table(file, reversed(range(200)))
    assert before & records_of(file, "test")
    with pytest.raises(DataError, match=r"test split is not .*40 records here, 40 there, others"):
        evaluate("test", trained)


@pytest.mark.parametrize(
    ("key", "value", "old"),
    [("split_seed", 5, 0), ("test_fraction", 0.3, 0.2), ("validation_fraction", 0.2, 0.1)],
)
def test_another_division_is_refused(trained, file, capsys, key, value, old):
    """By argument and both values, on the command line with exit code 2."""
    before = records_of(file, "train")
    assert before & records_of(file, "test", **{key: value})
    line = ["test", "--run", str(trained.path), f"--data.{key}", str(value)]
    assert main([*line, "--data.batch_size", "7"]) == 2
    told = capsys.readouterr().err
    assert "DataError: the test split is not the one of the training" in told
    assert f"data.{key}: {value}, the training had {old}" in told and "batch_size" not in told
    assert main(["test", "--run", str(trained.path), "--data.batch_size", "7"]) == 0


def test_what_was_not_kept_apart_is_no_test(tmp_path):
    """Of a run that trained on all records."""
    (tmp_path / "tiny.yaml").write_text(CONFIG.format(path=table(tmp_path / "t.csv", range(200))))
    run = fitted(tmp_path, ("data.test_fraction", "0.0"))
    with pytest.raises(DataError, match=r"40 records here, 0 there"):
        evaluate("test", run, ("data.test_fraction", "0.2"))


def test_any_split_is_taken_when_it_is_asked_for(trained, capsys):
    """And the result, its record and standard error say so."""
    seed = ("data.split_seed", "5")
    result = evaluate("test", trained, seed, any_split=True)
    assert result.to_dict()["records"] == "another split"
    assert json.loads(trained.test.read_text())["records"] == "another split"
    assert "is not the one of the training" in capsys.readouterr().err
    assert evaluate("predict", trained, seed, any_split=True).records == "another split"
    assert "records" not in evaluate("test", trained).to_dict()
    assert "records" not in json.loads(trained.test.read_text())


def test_other_data_is_prepared_by_the_run(trained, tmp_path, capsys):
    """By its means, as ``predict --input`` does; it is said."""
    other = ("data.path", str(table(tmp_path / "other.csv", range(501, 600))))
    found = evaluate("predict", trained, other, output=tmp_path / "test.csv")
    assert found.records == "other data"
    told = capsys.readouterr().err
    assert "this is other data than" in told
    assert "it is prepared by what the training has learned from its own" in told
    evaluate("predict", trained, input=tmp_path / "other.csv", output=tmp_path / "all.csv")
    tests = records_of(tmp_path / "other.csv", "test")
    whole = (tmp_path / "all.csv").read_text().splitlines()[1:]
    expected = [whole[number - 501].partition(",")[2] for number in sorted(tests)]
    rows = (tmp_path / "test.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[2] for row in rows] == expected
    predicted = [row.split(",")[1] for row in rows]
    right = [p == "ab"[number % 2] for p, number in zip(predicted, sorted(tests), strict=True)]
    result = evaluate("test", trained, other)
    assert result.metrics["test_accuracy"] == pytest.approx(sum(right) / len(right))
    line = ["test", "--run", str(trained.path), "--json", "--data.path"]
    assert main([*line, other[1]]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["metrics"] == pytest.approx(result.metrics)
    assert main([*line, "other.csv"]) == 2


def test_other_data_of_other_classes_is_refused(trained, tmp_path, capsys):
    """By file, line, column and class; so is what its arguments say otherwise than the training."""
    text = table(tmp_path / "other.csv", range(501, 600)).read_text()
    (tmp_path / "other.csv").write_text(text.replace("520,a,", "520,c,"))
    line = ["test", "--run", str(trained.path), f"--data.path={tmp_path}/other.csv"]
    assert main(line) == 2
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"DataError: {tmp_path}/other.csv, line 21, column 'kind': class 'c' is none of the"
        " training's",
        "  known: a, b",
    ]
    for argument, value, theirs in (
        ("target", "part", "['kind']"),
        ("features", "[part]", "['size']"),
        ("target_kind", "number", "'class'"),
    ):
        assert main([*line, f"--data.{argument}={value}"]) == 2
        assert f"and the model was trained with {theirs}" in capsys.readouterr().err


TEXTS = """
name: texts
task: classification
architecture: {{name: transformer, dim: 16, depth: 1, heads: 1}}
data: {{name: jsonl, path: {path}, text: t, label: c, tokenizer: character, batch_size: 8}}
optimizer: {{name: adamw, lr: 0.01}}
trainer: {{max_epochs: 5, accelerator: cpu}}
"""


def test_labels_have_the_order_of_the_training(tmp_path):
    """And letters their tokens: other records begin with the other label, and other letters."""

    def records(name, labels):
        lines = (
            json.dumps({"t": label * 3 + str(i), "c": label}) for i, label in enumerate(labels)
        )
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    (tmp_path / "tiny.yaml").write_text(TEXTS.format(path=records("t.jsonl", "no" * 60)))
    run = fitted(tmp_path)
    assert evaluate("test", run).metrics["test_accuracy"] == 1
    other = ("data.path", str(records("other.jsonl", "on" * 60)))
    assert evaluate("test", run, other).metrics["test_accuracy"] == 1


def test_other_data_is_no_test_of_the_run(trained, tmp_path, capsys):
    """Its record and count stay; the printed result says so."""
    before, tests = trained.test.read_text(), trained.status["tests"]
    table(tmp_path / "other.csv", range(501, 600))
    line = ["test", "--run", str(trained.path), f"--data.path={tmp_path}/other.csv"]
    assert main(line) == 0
    told = capsys.readouterr().out
    assert "other data" in told and "this run has been tested" not in told
    assert trained.test.read_text() == before and trained.status["tests"] == tests


def test_an_argument_that_the_model_does_not_fit_is_refused(tmp_path, capsys):
    """What the run has learned does not hide what the data's arguments say."""
    text = f"""
name: faces
architecture: {{name: mlp, hidden: [4]}}
data: {{name: image_folder, path: {write_faces(tmp_path / "faces", 20)}, image_size: 8}}
trainer: {{max_epochs: 1, accelerator: cpu}}
"""
    (tmp_path / "tiny.yaml").write_text(text)
    line = ["test", "--run", str(fitted(tmp_path).path)]
    assert main(line) == 0
    for argument, value in (("greyscale", "true"), ("image_size", "9"), ("fit", "stretch")):
        capsys.readouterr()
        assert main([*line, f"--data.{argument}", value]) == 2
        assert "by its arguments, and the model was trained with" in capsys.readouterr().err


def test_the_places_of_the_training_are_kept(tmp_path, monkeypatch, capsys):
    """A path that was relative to another folder is still the one of the training."""
    (tmp_path / "tiny.yaml").write_text(CONFIG.format(path="t.csv"))
    file = table(tmp_path / "t.csv", range(200))
    monkeypatch.chdir(tmp_path)
    run = fitted(tmp_path)
    table(file, range(210))
    (tmp_path / "elsewhere").mkdir()
    table(tmp_path / "elsewhere" / "t.csv", range(501, 600))
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="test split is not the one"):
        evaluate("test", run, ("data.path", str(file)))
    assert evaluate("test", run).records == "other data"
    assert f"data.path: '{tmp_path}/elsewhere/t.csv', the training had '{file}'" in (
        capsys.readouterr().err
    )


def test_the_fix_names_what_the_data_has(tmp_path):
    """Digits have no path."""
    text = CONFIG.replace("name: csv, path: {path}, target: kind, features: [size]", "name: digits")
    (tmp_path / "tiny.yaml").write_text(text.format())
    with pytest.raises(DataError) as error:
        evaluate("test", fitted(tmp_path), ("data.split_seed", "5"))
    assert "other data is known by another data.name;" in error.value.fix


def test_only_what_the_verb_needs_is_hashed(trained, monkeypatch):
    """And nothing where the checkpoint knows no hash."""
    asked = []
    whole = Records.digest
    monkeypatch.setattr(Records, "digest", lambda self: asked.append(len(self)) or whole(self))
    evaluate("test", trained)
    assert asked == [40]
    content = torch.load(trained.best, weights_only=True)
    content["dlplug"].pop("data")
    DurableCheckpointIO().save_checkpoint(content, trained.best)
    evaluate("test", trained)
    assert asked == [40]


def test_a_copy_elsewhere_is_the_same_data(trained, file, tmp_path, monkeypatch, capsys):
    """Known by its records; a path to the same file in other words is no other data."""
    (tmp_path / "moved").mkdir()
    table(tmp_path / "moved" / "t.csv", range(200))
    assert evaluate("test", trained, ("data.path", str(tmp_path / "moved/t.csv"))).records is None
    assert not capsys.readouterr().err
    table(file, range(210))
    monkeypatch.chdir(file.parent)
    with pytest.raises(DataError, match="test split is not the one"):
        evaluate("test", trained, ("data.path", "t.csv"))


def test_a_test_split_that_stays_can_be_tested(tmp_path):
    """Where a column says which it is, more validation records change nothing in it."""
    text = CONFIG.format(path=table(tmp_path / "t.csv", range(200)))
    path = tmp_path / "tiny.yaml"
    path.write_text(text.replace("batch_size", "split: column, split_by: part, batch_size"))
    run = fitted(tmp_path)
    expected = evaluate("test", run).metrics
    with (tmp_path / "t.csv").open("a") as file:
        file.write("9999,a,val\n")
    assert evaluate("test", run).metrics == expected
    with pytest.raises(DataError, match=r"validation split is not .* going on may mix"):
        verbs.fit(again(run, LONGER), resume=str(run.path), root=tmp_path, progress=False)


def test_a_resume_refuses_another_division(trained, file, tmp_path, capsys):
    """Any of the three splits; the folder stays as it was."""
    arguments = {"resume": str(trained.path), "root": tmp_path / "runs", "progress": False}
    before = trained.status
    for key, value in (("split_seed", "5"), ("test_fraction", "0.3")):
        with pytest.raises(DataError, match="test split is not the one"):
            verbs.fit(again(trained, LONGER, (f"data.{key}", value)), **arguments)
    assert trained.status == before
    line = ["fit", "--run", str(trained.path), "--trainer.max_epochs", "2"]
    table(file, range(210))
    assert main(line) == 2
    assert "test split is not the one of the training (42 records" in capsys.readouterr().err
    with pytest.raises(DataError, match="test split is not the one"):
        verbs.fit(again(trained, LONGER), ckpt_path=trained.last, root=tmp_path, progress=False)

    # What has been trained on both divisions has no clean test left.
    assert main([*line, "--any_split"]) == 0
    assert json.loads(trained.test.read_text())["records"] == "another split"
    saved = torch.load(trained.last, weights_only=True)["dlplug"]
    assert saved["data"]["records"]["test"] == 42 and saved["data"]["mixed"] is True
    capsys.readouterr()
    assert evaluate("test", trained, ckpt_path=trained.last).records == "another split"
    assert "was trained on several divisions" in capsys.readouterr().err


def test_a_run_goes_on_with_other_data_only_when_asked(trained, tmp_path):
    """Its tests are then of another split, for good; a new run from its weights has its own."""
    other = ("data.path", str(table(tmp_path / "other.csv", range(501, 600))))
    arguments = {"root": tmp_path / "runs", "progress": False}
    new = verbs.fit(again(trained, LONGER, other), ckpt_path=trained.last, **arguments)
    assert new.records is None and "records" not in json.loads(Run(new.run).test.read_text())
    assert "mixed" not in torch.load(Run(new.run).last, weights_only=True)["dlplug"]["data"]
    arguments["resume"] = str(trained.path)
    with pytest.raises(DataError, match="test split is not the one") as error:
        verbs.fit(again(trained, LONGER, other), **arguments)
    assert error.value.fix == "leave it as it was; --any_split takes this all the same"
    longest = again(trained, ("trainer.max_epochs", "3"), other)
    for experiment, any_split in ((again(trained, LONGER, other), True), (longest, False)):
        assert verbs.fit(experiment, any_split=any_split, **arguments).records == "another split"
        saved = torch.load(trained.last, weights_only=True)["dlplug"]
        assert saved["data"]["mixed"] is True


def test_the_option_is_refused_where_it_says_nothing(trained, capsys):
    """In a training that begins, and beside inputs from outside."""
    assert main(["fit", "--data", "digits", "--any_split"]) == 2
    assert "--any_split is for a training that goes on" in capsys.readouterr().err
    line = ["predict", "--run", str(trained.path), "--input", "x.csv", "--any_split"]
    assert main(line) == 2
    assert "--input takes the place of the test split" in capsys.readouterr().err


def test_a_checkpoint_from_before_goes_on_and_it_is_said(trained, capsys):
    """Without a guess."""
    content = torch.load(trained.best, weights_only=True)
    assert content["dlplug"].pop("data")["records"] == {"train": 140, "validation": 20, "test": 40}
    DurableCheckpointIO().save_checkpoint(content, trained.best)
    assert evaluate("test", trained).records is None
    assert capsys.readouterr().err.count("does not say which records it was trained on") == 1


def test_classes_stay_in_the_order_of_the_run(tmp_path, monkeypatch):
    """A run of a version that sorted them otherwise goes on as it was, with any split."""
    path = table(tmp_path / "t.csv", range(200))
    path.write_text(path.read_text().replace(",a,", ",2.0,").replace(",b,", ",10.0,"))
    (tmp_path / "tiny.yaml").write_text(CONFIG.format(path=path))
    with monkeypatch.context() as patch:
        patch.setattr("dlplug.data.tables.target.in_order", lambda names, decimal: sorted(names))
        run = fitted(tmp_path)
    for epochs, arguments in ((2, {}), (3, {"any_split": True})):
        fit_on(run, epochs, **arguments)
        record = torch.load(run.last, weights_only=True)["dlplug"]
        assert record["data_spec"]["class_names"] == ["10.0", "2.0"]
        assert "mixed" not in record["data"]


def test_other_classes_are_refused_by_name(trained, file):
    """Whatever is said of the split."""
    file.write_text(file.read_text().replace(",b,", ",c,"))
    for arguments in ({}, {"any_split": True}):
        with pytest.raises(
            DataError, match="the classes are a, c, those of the training were a, b"
        ):
            fit_on(trained, 2, **arguments)


def fit_on(run, epochs, **arguments):
    experiment = again(run, ("trainer.max_epochs", str(epochs)))
    verbs.fit(
        experiment, resume=str(run.path), root=run.path.parent.parent, progress=False, **arguments
    )
