"""From a config to a trained network: through dlplug's own command line."""

import json

import pytest
import torch
import yaml

from dlplug.cli import main

pytestmark = [
    pytest.mark.usefixtures("installed"),
    # Lightning 2.6 asks torch 2.13 in ways that torch deprecates.
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many"),
]
SENTENCES = ["God said let there be light", "light was there", "and God was", "let light be said"]


@pytest.fixture
def fit(tmp_path, monkeypatch, capfd):
    """Writes data and a config, trains in a folder of its own; gives code, answer, errors."""
    monkeypatch.chdir(tmp_path)

    def fit(config, *arguments, records=None):
        if records is not None:
            (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, records)))
        trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"trainer": trainer} | config))
        return run("fit", "--config", "c.yaml", "--name", "x", *arguments)

    def run(*arguments):
        code = main([*arguments, "--json"])
        out, err = capfd.readouterr()
        return code, json.loads(out.strip().splitlines()[-1]), err

    fit.run = run
    return fit


def classes(folder, **architecture):
    """A config that learns who speaks of light."""
    return {
        "architecture": {"name": "transformers.auto", "path": str(folder)} | architecture,
        "optimizer": {"name": "adamw", "lr": 0.01},
        "data": {
            "name": "jsonl",
            "path": "x.jsonl",
            "label": "light",
            "tokenizer": str(folder),
            "sequence_length": 12,
            "batch_size": 8,
        },
    }


RECORDS = [{"text": text, "light": "light" in text} for text in SENTENCES * 20]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_folder_is_fine_tuned_and_used_again(kind, fit, request, tmp_path):
    """With its tokenizer; tested to the same number, and new texts need no training data."""
    code, trained, err = fit(
        classes(request.getfixturevalue(kind)), "--trainer.max_epochs", "4", records=RECORDS
    )
    assert code == 0, err
    assert "tensors are loaded from" in err and trained["metrics"]["test_accuracy"] > 0.9
    (tmp_path / "x.jsonl").unlink()
    (tmp_path / "new.txt").write_text("God said light\nand God was\n")
    code, _, err = fit.run("predict", "--run", "x", "--input", "new.txt", "--output", "p.csv")
    assert code == 0, err
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["True", "False"]


def test_a_decoder_learns_and_writes(fit, tmp_path):
    """From settings alone, on bytes; also beyond the 16 positions that it was trained on."""
    config = {
        "task": "language_modelling",
        "architecture": {
            "name": "transformers.auto",
            "config": {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2},
        },
        "optimizer": {"name": "adamw", "lr": 0.01},
        "data": {
            "name": "text",
            "path": "x.txt",
            "sequence_length": 16,
            "stride": 3,
            "batch_size": 8,
        },
    }
    (tmp_path / "x.txt").write_text("let there be light. " * 200)
    code, trained, err = fit(config, "--trainer.max_epochs", "4")
    assert code == 0, err
    assert trained["metrics"]["test_perplexity"] < 1.5
    arguments = ("generate", "--run", "x", "--prompt", "let ther", "--temperature", "0")
    code, written, err = fit.run(*arguments, "--max_tokens", "32")
    assert code == 0, err
    assert ("let ther" + written["text"]).startswith("let there be light. let th")


def test_a_folder_writes_with_its_own_tokens(fit, gpt2):
    """Documents begin and end as its tokenizer says, and generation ends by itself."""
    config = {
        "task": "language_modelling",
        "architecture": {"name": "transformers.auto", "path": str(gpt2)},
        "optimizer": {"name": "adamw", "lr": 0.02},
        "data": {"name": "jsonl", "path": "x.jsonl", "tokenizer": str(gpt2)}
        | {"sequence_length": 8, "batch_size": 4},
    }
    records = [{"text": "god said let light be"}] * 60
    code, _, err = fit(config, "--trainer.max_epochs", "6", records=records)
    assert code == 0, err
    code, written, err = fit.run(
        "generate", "--run", "x", "--prompt", "god said", "--temperature", "0"
    )
    assert code == 0, err
    assert written["text"].split() == ["let", "light", "be"] and written["ended"] == "end"


def test_a_training_goes_on_with_the_same_bits(fit, bert):
    """Interrupted after an epoch or not, dropout or not."""
    config = classes(bert)
    code, _, err = fit(config, "--trainer.max_epochs", "2", records=RECORDS)
    assert code == 0, err
    code, _, err = fit(config)
    assert code == 0, err
    code, _, err = fit.run(
        "fit", "--config", "c.yaml", "--resume", "runs/x/2", "--trainer.max_epochs", "2"
    )
    assert code == 0, err
    first, second = (
        torch.load(f"runs/x/{n}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for n in (1, 2)
    )
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"path": "./nowhere"}, "architecture", "does not exist"),
        ({"config": {"hidden_sise": 3}}, "architecture", "has no setting 'hidden_sise'"),
        ({"path": None}, "architecture", "needs a path or a config"),
        ({"heads": 3}, "architecture.heads", "has no argument 'heads'"),
    ],
)
def test_a_mistake_is_one_error(fit, bert, change, where, message):
    """Exit code 2, the place, and no run folder."""
    code, answer, err = fit(classes(bert, **change), records=RECORDS)
    assert code == 2 and message in answer["error"]["what"]
    assert "c.yaml, line" in answer["error"]["where"] and where in answer["error"]["where"]
    assert "Traceback" not in err


def test_another_tokenizer_is_an_error(fit, bert, tmp_path):
    """The folder's weights are of its own tokens."""
    config = classes(bert)
    config["data"]["tokenizer"] = "byte"
    code, answer, _ = fit(config, records=RECORDS)
    assert code == 2 and "the data has 261 tokens" in answer["error"]["what"]
    assert not (tmp_path / "runs").exists()
