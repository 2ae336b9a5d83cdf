"""The verbs in use: one run trained, then continued, validated, tested and used."""

import json

import numpy as np
import pytest

from dlplug.config.document import parse
from dlplug.run.folder import Run

TINY = (
    "--data", "digits", "--architecture", "mlp", "--architecture.hidden", "[8]",
    "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1",
    "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
)  # fmt: skip


@pytest.fixture
def run(command):
    """A small run called tiny."""
    done = command("fit", *TINY, "--name", "tiny", "--json")
    assert done.code == 0, done.err
    return done


def test_fit_makes_a_run_and_reports_it(run, tmp_path):
    """The last line is one JSON object; the folder holds the config as given and as resolved."""
    assert (run.json["verb"], run.json["run"], run.json["epochs"]) == ("fit", "runs/tiny/1", 1)
    folder = Run(tmp_path / "runs/tiny/1")
    given = parse(folder.config.read_text(), "given").plain()
    assert given["architecture"] == {"name": "mlp", "hidden": [8]}
    resolved = parse(folder.resolved.read_text(), "resolved").plain()
    assert resolved["architecture"]["num_outputs"] == 10 and resolved["name"] == "tiny"


@pytest.mark.parametrize(("text", "name"), [("null", None), ('"q"', "q")])
def test_a_name_is_the_value_that_its_text_means(command, text, name):
    """As of every other key: null leaves it to the config."""
    done = command("fit", *TINY, "--name", text, "--json")
    assert done.code == 0, done.err
    folder = done.json["run"].split("/")[1]
    assert folder == name if name else folder not in ("null", "None")


def test_every_verb_takes_a_run_and_nothing_else(run, command, tmp_path):
    """validate, test and predict; by name, path or latest."""
    assert command("validate", "--run", "tiny", "--json").json["metrics"].keys() == {
        "val_loss",
        "val_accuracy",
    }
    tested = command("test", "--run", "runs/tiny/1", "--json")
    assert tested.json["metrics"].keys() == {"test_loss", "test_accuracy"}
    predicted = command("predict", "--run", "latest", "--json")
    assert (tmp_path / predicted.json["predictions"]).is_file()


def test_a_table_is_printed_without_json(run, command):
    """For people."""
    out = command("test", "--run", "tiny").out
    assert "accuracy" in out and "runs/tiny/1" in out and "{" not in out


def test_predict_from_a_file_needs_no_training_data(run, command, tmp_path, monkeypatch):
    """The data spec comes from the checkpoint; the data set is not even read."""
    from dlplug.data.digits import Digits

    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8)))
    monkeypatch.setattr(Digits, "load", None)
    done = command("predict", "--run", "tiny", "--input", "x.npy", "--output", "y.csv", "--json")
    assert done.code == 0, done.err
    assert len((tmp_path / "y.csv").read_text().splitlines()) == 4


def test_a_config_with_a_checkpoint_does_instead_of_a_run(run, command):
    """For weights that came without their folder."""
    checkpoint = "runs/tiny/1/checkpoints/best.ckpt"
    done = command("test", *TINY, "--ckpt_path", checkpoint, "--json")
    assert done.code == 0 and done.json["checkpoint"] == checkpoint


def test_fit_goes_on_with_a_run(run, command):
    """Under its own config, with overrides on top; the folder stays the same."""
    done = command("fit", "--run", "tiny", "--trainer.max_epochs", "2", "--json")
    assert done.code == 0, done.err
    assert (done.json["run"], done.json["epochs"]) == ("runs/tiny/1", 2)
    done = command("fit", "--run", "tiny")
    assert done.code == 2 and "has finished its" in done.err


def test_resume_auto_starts_a_run_where_there_is_none(command):
    """So that one command line serves the first start and every restart."""
    for number in ("1", "2"):
        done = command("fit", *TINY, "--name", "again", "--resume", "auto", "--json")
        assert done.json["run"] == f"runs/again/{number}"


def test_print_config_prints_a_config_and_stops(command, tmp_path):
    """Filled values are marked; the text is a config; no folder is made."""
    done = command("fit", *TINY, "--print_config")
    assert done.code == 0 and not (tmp_path / "runs").exists()
    assert "  num_outputs: 10  # from data digits\n" in done.out
    (tmp_path / "mlp_digits.yaml").write_text(done.out)
    again = command("fit", "--config", "mlp_digits.yaml", "--print_config", "--json")
    assert again.json == parse(done.out, "x").plain()
    assert json.loads(again.out)["name"] == "mlp_digits"


def test_overrides_lie_over_the_run(run, command):
    """Another checkpoint, other values; what contradicts the weights is refused."""
    done = command("test", "--run", "tiny", "--architecture.hidden", "[9]")
    assert done.code == 2 and done.err.startswith("CheckpointError: ")
