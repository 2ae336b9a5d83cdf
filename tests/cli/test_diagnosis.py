"""tune, check, ablate and profile on the command line: tables, JSON, exit codes, bad input."""

import pytest

from dlplug.cli import ablate, check_gradients, check_overfit, profile, tune_batch_size, tune_lr

TINY = (
    "--data", "digits", "--architecture", "mlp", "--architecture.hidden", "[8]",
    "--optimizer.lr", "0.01", "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1",
)  # fmt: skip
COMMANDS = {
    ("tune", "lr"): tune_lr,
    ("tune", "batch-size"): tune_batch_size,
    ("check", "overfit"): check_overfit,
    ("check", "gradients"): check_gradients,
    ("ablate",): ablate,
    ("profile",): profile,
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_names_options_and_examples(command, words):
    """And the keys of a config."""
    done = command(*words, "--help")
    assert done.code == 0 and done.out.startswith(f"usage: python -m dlplug {' '.join(words)} [")
    module = COMMANDS[words]
    for option in module.OPTIONS:
        assert f"  --{option.name}" in done.out
    for example in module.EXAMPLES:
        assert f"  python -m dlplug {' '.join(words)} {example}\n" in done.out
    assert "--architecture " in done.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_config_can_be_printed(command, words):
    """As with fit."""
    done = command(*words, *TINY, "--print_config")
    assert done.code == 0 and "name: dlplug:mlp" in done.out


def test_tune_lr(command, tmp_path):
    """A table, a suggestion and a picture; no run folder."""
    done = command("tune", "lr", *TINY, "--min", "1e-4", "--steps", "40")
    assert done.code == 0 and "suggestion   --optimizer.lr " in done.out
    assert [p.name for p in tmp_path.iterdir()] == ["lr_finder.png"]


def test_tune_lr_without_a_fall(command):
    """Exit code 1, and still JSON."""
    done = command(
        "tune", "lr", *TINY, "--min", "1e-12", "--max", "1e-11", "--steps", "20", "--json"
    )
    assert (done.code, done.json["ok"], done.json["suggestion"]) == (1, False, None)


def test_tune_batch_size(command, tmp_path):
    """Progress on standard error; JSON holds every size."""
    done = command(
        "tune", "batch-size", *TINY, "--min", "64", "--max", "128", "--steps", "2",
        "--output", "b.png", "--json",
    )  # fmt: skip
    assert done.code == 0 and done.err.startswith("batch size 64\nbatch size 128\n")
    assert [m["batch_size"] for m in done.json["tried"]] == [64, 128]
    assert done.json["picture"] == "b.png" and (tmp_path / "b.png").is_file()


def test_tune_batch_size_when_nothing_fits(command, tmp_path):
    """Exit code 1, and no picture of nothing."""
    done = command("tune", "batch-size", *TINY, "--steps", "2", "--memory_limit", "1MB")
    assert done.code == 1 and "above the limit" in done.out
    assert list(tmp_path.iterdir()) == []


def test_check_overfit(command, tmp_path):
    """Learned, or not with the reason and exit code 1; nothing is left."""
    done = command("check", "overfit", *TINY, "--records", "8")
    assert done.code == 0 and "learned by heart: 8 records in " in done.out
    done = command("check", "overfit", *TINY, "--optimizer.lr", "1e-9", "--steps", "10")
    assert done.code == 1 and "NOT learned" in done.out and "optimizer.lr may be" in done.out
    assert list(tmp_path.iterdir()) == []


def test_check_gradients(command, tmp_path):
    """Right, or not with a tolerance that nothing meets."""
    done = command("check", "gradients", *TINY, "--weights", "1")
    assert done.code == 0 and "the gradients are right: 4 weights of 4 parameters" in done.out
    done = command("check", "gradients", *TINY, "--tolerance", "1e-300", "--json")
    assert done.code == 1 and not done.json["ok"] and done.json["reasons"]
    assert list(tmp_path.iterdir()) == []


def test_ablate(command, tmp_path):
    """The regularisers of the config are found; runs and a picture are left."""
    arguments = (*TINY, "--trainer.limit_train_batches", "2", "--seeds", "0,1", "--name", "t")
    done = command("ablate", *arguments)
    assert done.code == 0 and "no-weight_decay" in done.out
    assert "[1/4] base, seed 0" in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs", "t-ablation.png"]
    again = command("ablate", *arguments, "--json")
    assert again.err.count("finished before") == 4
    assert [o["variant"] for o in again.json["outcomes"]] == ["base", "no-weight_decay"]


def test_profile(command, tmp_path):
    """Shares, memory and modules."""
    done = command("profile", *TINY, "--steps", "3", "--top", "2")
    assert done.code == 0 and "one batch of 64 records on cpu: " in done.out
    for word in ("forward", "backward", "optimizer", "activations"):
        assert f"  {word}" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune", "rl"), "no command 'tune rl'"),
        (("check", "--config", "x"), "check needs a second word before --config"),
        (("tune", "lr", *TINY, "--steps", "many"), "--steps must be a whole number, got 'many'"),
        (("tune", "lr", *TINY, "--min", "2"), "min = 2, max = 1"),
        (("tune", "lr", *TINY, "--output", "x.txt"), "x.txt is no picture"),
        (("tune", "batch-size", *TINY, "--memory_limit", "lots"), "'lots' is no amount of memory"),
        (("check", "overfit", *TINY, "--steps", "1"), "steps = 1"),
        (("ablate", *TINY, "--seeds", "a"), "--seeds must be whole numbers with commas"),
        (("ablate", *TINY, "--remove", "callbacks.ema"), "no callbacks.ema to remove"),
        (("ablate", *TINY, "--optimizer", "sgd"), "no regulariser that is known by name"),
        (("profile", *TINY, "--stepps", "1"), "no option --stepps"),
    ],
)
def test_bad_input(command, tmp_path, arguments, message):
    """Exit code 2, one clear sentence, nothing left behind."""
    done = command(*arguments)
    assert done.code == 2 and message in done.err.splitlines()[0]
    assert list(tmp_path.iterdir()) == []
