"""generate: a trained language model continues a text, without its training data."""

import pytest
import torch
from lightning.fabric import Fabric

from dlplug.data.text.corpus import Text
from dlplug.run import generation

TINY = (
    "--task", "language_modelling", "--data", "text", "--data.path", "abc.txt",
    "--data.sequence_length", "16", "--data.batch_size", "16",
    "--architecture", "transformer", "--architecture.dim", "32", "--architecture.depth", "1",
    "--architecture.heads", "1", "--optimizer.lr", "0.01",
    "--trainer.accelerator", "cpu", "--trainer.max_epochs", "2",
)  # fmt: skip


@pytest.fixture
def trained(command, tmp_path):
    """A run called abc, of a model that knows the alphabet; its text is gone."""
    (tmp_path / "abc.txt").write_text("abcdefghijklmnopqrstuvwxyz" * 500)
    done = command("fit", *TINY, "--name", "abc", "--json")
    assert done.code == 0, done.err
    (tmp_path / "abc.txt").unlink()
    return done


def test_a_run_continues_a_text(trained, command, monkeypatch):
    """Printed after the prompt, longer than the context too; nothing is loaded."""
    monkeypatch.setattr(Text, "load", None)
    line = ("generate", "--run", "abc", "--prompt", "mnopqrst", "--temperature", "0")
    done = command(*line, "--max_tokens", "26")
    assert done.code == 0, done.err
    assert done.out == "mnopqrst" + "uvwxyzabcdefghijklmnopqrst" + "\n"
    found = command(*line, "--max_tokens", "3", "--json").json
    assert (found["verb"], found["prompt"], found["text"]) == ("generate", "mnopqrst", "uvw")
    assert (found["tokens"], found["ended"]) == (3, "max_tokens")

    # Another checkpoint than the best.
    last = ("--ckpt_path", "runs/abc/1/checkpoints/last.ckpt")
    assert command(*line, *last, "--max_tokens", "3", "--json").json["checkpoint"] == last[1]

    # A seed is a text.
    wild = ("generate", "--run", "abc", "--prompt", "a", "--temperature", "3", "--top_k", "30")
    first, again, other = (command(*wild, "--seed", seed).out for seed in ("1", "1", "2"))
    assert first == again != other
    careful = ("--top_p", "0.01", "--max_tokens", "3")
    assert command(*wild, *careful).out == "abcd\n"

    # What cannot be done is said.
    for options, message in (
        (("--max_tokens", "x"), "--max_tokens must be a whole number, got 'x'"),
        (("--temperature", "hot"), "--temperature must be a number, got 'hot'"),
        (("--top_p", "2"), "top_p = 2.0 is out of range"),
        (("--prompt", ""), "the prompt is empty"),
    ):
        done = command("generate", "--run", "abc", *options)
        assert done.code == 2 and message in done.err


def test_a_run_of_many_gpus_is_used_on_one(trained, command, monkeypatch):
    """One text is written by one device, whatever the training had; it is this machine's CPU."""
    made = []

    class OnCPU(Fabric):
        def __init__(self, accelerator, devices, precision):
            made.append((accelerator, devices))
            super().__init__(accelerator="cpu", devices=devices, precision=precision)

    monkeypatch.setattr(generation, "Fabric", OnCPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    many = ("--trainer.accelerator", "gpu", "--trainer.devices", "4")
    line = ("--run", "abc", *many, "--trainer.strategy", "fsdp")
    done = command("generate", *line, "--prompt", "mn", "--temperature", "0", "--max_tokens", "3")
    assert done.code == 0 and done.out == "mnopq\n", done.err
    assert made == [("gpu", 1)]
    done = command("validate", *line)
    assert done.code == 2 and "trainer.devices is 4, and this machine has 1 GPU" in done.err


def test_other_runs_are_refused(command):
    """A classifier writes no texts; no run is no weights."""
    tiny = ("--data", "digits", "--architecture", "mlp", "--architecture.hidden", "[8]")
    short = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1")
    assert command("fit", *tiny, *short, "--name", "digits").code == 0
    done = command("generate", "--run", "digits", "--prompt", "a")
    assert done.code == 2 and "task classification did not learn to continue texts" in done.err
    done = command("generate", "--prompt", "a")
    assert done.code == 2 and "generate needs a run" in done.err


def test_help_names_the_options(command):
    """Without loading anything."""
    out = command("generate", "--help").out
    for name in ("prompt", "max_tokens", "temperature", "top_k", "top_p", "seed", "json"):
        assert f"  --{name}" in out
