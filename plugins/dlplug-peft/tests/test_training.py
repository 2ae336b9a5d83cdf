"""Adapters from a config to a merged checkpoint, through dlplug's own command line."""

import json

import pytest
import torch
import yaml

from dlplug.cli import main

pytestmark = [
    pytest.mark.usefixtures("installed"),
    # Lightning 2.6 asks torch 2.13 in ways that torch deprecates.
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many"),
    pytest.mark.filterwarnings("ignore:.*module.s. in eval mode"),
]
PLAIN = {"name": "mlp", "hidden": [32], "dropout": 0.1}
ADAPTED = {
    "name": "peft",
    "architecture": PLAIN,
    "target": ["layers.1"],
    "train": ["layers.4"],
    "settings": {"r": 4},
}


@pytest.fixture
def dlplug(tmp_path, monkeypatch, capfd):
    """Runs a command in a folder of its own; gives the answer and what stands on standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, expected=0):
        code = main([*arguments, "--json"])
        out, err = capfd.readouterr()
        assert code == expected, err
        return json.loads(out.strip().splitlines()[-1]), err

    return run


@pytest.fixture
def fit(dlplug, tmp_path):
    """Trains on the digits."""

    def fit(name, architecture, *arguments, callbacks=(), expected=0, **trainer):
        config = {
            "architecture": architecture,
            "optimizer": {"name": "adamw", "lr": 0.003},
            "data": {"name": "digits", "batch_size": 64},
            "callbacks": list(callbacks),
            "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
        }
        config["trainer"] |= trainer
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
        return dlplug(
            "fit", "--config", f"{name}.yaml", "--name", name, *arguments, expected=expected
        )

    return fit


def weights(path):
    """Of a checkpoint."""
    return torch.load(path, weights_only=True)["state_dict"]


def test_from_a_plain_network_to_a_merged_one(fit, dlplug):
    """Loaded, adapted, tested again, merged, and loaded once more by the plain architecture."""
    fit("base", PLAIN)
    pretrained = {"name": "pretrained", "checkpoint": "base", "replace": ["*lora_*", "layers.4"]}
    trained, err = fit("lora", ADAPTED, callbacks=[pretrained])
    assert err.count("parameters are trained") == 1
    base, adapted = (weights(f"runs/{n}/1/checkpoints/last.ckpt") for n in ("base", "lora"))
    same = [n for n in base if torch.equal(base[n], adapted[n])]
    assert sorted(n for n in same if "layers" in n) == [
        "architecture.layers.1.bias",
        "architecture.layers.1.weight",
    ]
    states = torch.load("runs/lora/1/checkpoints/last.ckpt", weights_only=True)
    assert len(states["optimizer_states"][0]["state"]) == 4  # A, B, and the last layer's two
    tested, _ = dlplug("test", "--run", "lora")
    expected = {name: trained["metrics"][name] for name in tested["metrics"]}
    assert expected and tested["metrics"] == pytest.approx(expected)

    merged, _ = dlplug("merge", "--run", "lora", "--output", "merged.ckpt")
    assert merged["tensors"] == 4
    assert weights("merged.ckpt").keys() == base.keys()
    records = [
        torch.load(p, weights_only=True)["dlplug"] for p in ("merged.ckpt", trained["checkpoint"])
    ]
    assert records[0]["data"] == records[1]["data"]
    plain, _ = dlplug("test", "--config", "base.yaml", "--ckpt_path", "merged.ckpt")
    assert plain["metrics"]["test_loss"] == pytest.approx(trained["metrics"]["test_loss"], rel=1e-4)
    again = {"name": "pretrained", "checkpoint": "merged.ckpt"}
    _, err = fit("again", PLAIN, "--trainer.max_epochs", "1", callbacks=[again])
    assert "4 tensors are loaded from merged.ckpt" in err


def test_a_training_goes_on_with_the_same_bits(fit, dlplug):
    """With an average of the weights, which is tested and merged."""
    ema = [{"name": "ema", "decay": 0.9}]
    fit("whole", ADAPTED, callbacks=ema, max_epochs=2)
    fit("part", ADAPTED, callbacks=ema, max_epochs=1)
    dlplug("fit", "--config", "part.yaml", "--resume", "runs/part/1", "--trainer.max_epochs", "2")
    whole, part = (
        torch.load(f"runs/{n}/1/checkpoints/last.ckpt", weights_only=True)
        for n in ("whole", "part")
    )
    for key in ("state_dict", "ema"):
        first = whole[key] if key == "state_dict" else whole[key]["trained"]
        second = part[key] if key == "state_dict" else part[key]["trained"]
        assert first.keys() == second.keys() and any("lora_A" in name for name in first)
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    tested, _ = dlplug(
        "test", "--run", "whole", "--ckpt_path", "runs/whole/1/checkpoints/last.ckpt"
    )
    dlplug(
        "merge", "--run", "whole", "--ckpt_path", "runs/whole/1/checkpoints/last.ckpt",
        "--output", "merged.ckpt",
    )  # fmt: skip
    fit("base", PLAIN, max_epochs=1)
    plain, _ = dlplug("test", "--config", "base.yaml", "--ckpt_path", "merged.ckpt")
    assert plain["metrics"]["test_loss"] == pytest.approx(tested["metrics"]["test_loss"], rel=1e-4)


def test_mistakes_are_one_error(fit, dlplug, tmp_path):
    """Exit code 2, the place, and no run folder."""
    for change, message in (
        ({"target": ["layer"]}, "nothing in MLP is named 'layer'"),
        ({"type": "lorra"}, "'lorra' is no adapter"),
        ({"settings": {"rank": 2}}, "no setting 'rank'"),
        ({"architecture": "mpl"}, "no architecture named 'mpl'"),
    ):
        answer, err = fit("bad", ADAPTED | change, expected=2)
        assert message in answer["error"]["what"] and "Traceback" not in err
        assert "bad.yaml, line" in answer["error"]["where"]
    assert not (tmp_path / "runs").exists()


def test_a_run_without_adapters_is_not_merged(fit, dlplug, tmp_path):
    """And a file to write must be named, in a folder that exists."""
    fit("base", PLAIN, max_epochs=1)
    answer, _ = dlplug("merge", "--run", "base", "--output", "x.ckpt", expected=2)
    assert "is mlp, which has no adapters" in answer["error"]["what"]
    answer, _ = dlplug("merge", "--run", "base", expected=2)
    assert "needs a file to write" in answer["error"]["what"]
    assert not (tmp_path / "x.ckpt").exists()
