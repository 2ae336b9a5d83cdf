"""Experiments: defaults, data, round trips, hooks."""

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from dlplug.config import compose, load, resolve
from dlplug.config.document import parse
from dlplug.data.spec import DataSpec
from dlplug.errors import InvalidValueError, PluginError, UnknownKeyError
from dlplug.plugin import Registry

BASE = "data: squares\narchitecture: tower\n"


def test_a_short_config_gets_sensible_defaults(experiment):
    """Task, loss, optimizer, metrics and epochs need not be written."""
    made = experiment()
    names = {
        slot: made.resolved[slot]["name"] for slot in ("task", "architecture", "loss", "optimizer")
    }
    assert names == {
        "task": "dlplug:classification",
        "architecture": "acme-toys:tower",
        "loss": "dlplug:cross_entropy",
        "optimizer": "dlplug:adamw",
    }
    assert made.resolved["scheduler"] is None and made.resolved["callbacks"] == []
    assert made.resolved["metrics"][0] == {"name": "dlplug:accuracy", "num_classes": 3, "top_k": 1}
    assert (made.seed, made.name, made.trainer_arguments) == (0, "a", {"max_epochs": 10})
    assert made.given == {"data": "squares", "architecture": "tower"}


def test_the_data_decides_what_it_knows(experiment):
    """Also parameters with a default; each filled value says so."""
    made = experiment()
    assert made.build_task().architecture.told["image_size"] == 4
    assert made.filled == {
        "architecture.num_classes": "from data squares",
        "architecture.image_size": "from data squares",
        "metrics.0.num_classes": "from data squares",
    }
    assert "  image_size: 4  # from data squares\n" in made.to_yaml()
    facts = {"image_size": 4, "num_classes": 3, "in_channels": 1}
    decided = {"num_outputs": 3, "per_position": False}
    assert made.data_spec == DataSpec(**facts, **decided)


def test_a_contradiction_is_an_error_with_its_line(experiment, tmp_path):
    """Before training, naming both sides."""
    with pytest.raises(InvalidValueError) as caught:
        experiment("data: squares\narchitecture:\n  name: tower\n  num_classes: 7\n")
    assert caught.value.what == (
        "the config sets architecture.num_classes: 7, data squares has num_classes: 3"
    )
    assert caught.value.where == f"{tmp_path}/a.yaml, line 4, architecture.num_classes"


def test_null_leaves_a_fact_to_the_data(experiment):
    """An empty value sets nothing; saying what the data says is allowed."""
    made = experiment(
        "data: squares\narchitecture: {name: tower, num_classes: null, image_size: 4}\n"
    )
    assert made.build_task().architecture.told["num_classes"] == 3
    assert "architecture.image_size" not in made.filled


def test_data_that_knows_itself_only_after_setup_is_set_up(experiment):
    """And a size that is not square arrives as a pair."""
    made = experiment("data: late\narchitecture: wide\n")
    assert made.build_task().architecture.img_size == (4, 6)


def test_the_resolved_config_gives_the_same_experiment(experiment, tmp_path):
    """Read again as a config, it resolves to itself; nothing is then marked as filled."""
    made = experiment(
        "data: {name: squares, transforms: [shift]}\n"
        "architecture: {name: named, init_args: {name: x}}\n"
        "loss: {name: sum, losses: [scaled]}\n"
        "scheduler: warmup_cosine\n"
        "callbacks: [late, early]\n"
        "loggers: [csv]\n"
        "metrics: [accuracy, f1]\n"
        "trainer: {max_steps: 5, max_time: '00:01:00:00', accelerator: cpu, strategy: "
        "{class_path: lightning.pytorch.strategies.DDPStrategy, init_args: {timeout: '0:05:00'}}}\n"
        "plugins: {strict: false}\n"
    )
    path = tmp_path / "resolved.yaml"
    path.write_text(made.to_yaml())
    again = load([path], [], Registry.discover())
    assert again.resolved == made.resolved
    assert again.to_yaml() == "".join(
        line.partition("  # from")[0].rstrip("\n") + "\n" for line in made.to_yaml().splitlines()
    )
    assert again.name == "a" and again.filled == {}
    assert again.trainer_arguments.keys() == made.trainer_arguments.keys()
    assert parse(made.to_yaml(), "r").plain() == made.resolved


def test_a_run_needs_no_training_data(experiment, tmp_path):
    """With the data spec at hand, the data module is built only when somebody asks."""
    made = experiment()
    path = tmp_path / "resolved.yaml"
    path.write_text(made.to_yaml())
    squares = type(made.datamodule)
    built = squares.built
    again = load([path], [], Registry.discover(), data_spec=made.data_spec)
    assert again.build_task().architecture.told["num_classes"] == 3
    assert squares.built == built
    assert again.datamodule is again.datamodule and squares.built == built + 1


def test_other_data_than_the_models_is_refused(experiment):
    """When the data module turns out to differ from the spec of the run."""
    made = experiment(data_spec=DataSpec(num_classes=5, image_size=4))
    with pytest.raises(InvalidValueError) as caught:
        _ = made.datamodule
    assert caught.value.what == "data squares has num_classes: 3, the run's data had 5"


def test_the_data_module_is_built_with_the_seed(experiment):
    """And drawing for it does not disturb anybody else's random numbers."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    draws = {experiment(BASE, ("seed_everything", "3")).datamodule.draw for _ in range(2)}
    assert len(draws) == 1 and torch.rand(1) == expected


def test_another_seed_holds_for_all_of_it(experiment):
    """For the record, the data, and what is made of the same config later."""
    drawn = experiment(BASE, ("seed_everything", "true"))
    made, asked = drawn.with_seed(3), experiment(BASE, ("seed_everything", "3"))
    assert made.to_yaml() == asked.to_yaml() != drawn.to_yaml()
    assert made.datamodule.draw == asked.datamodule.draw != drawn.datamodule.draw
    assert made.for_record({}, None, "a checkpoint").seed == 3


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        (
            "architecture: tower\n",
            "the config chooses no data",
            "--data NAME, or 'data: NAME' in the config",
        ),
        (
            "data: squares\n",
            "task 'classification' needs an architecture",
            "--architecture NAME, or 'architecture: NAME' in the config",
        ),
        (
            BASE + "loss: null\n",
            "task 'classification' needs a loss",
            "--loss NAME, or 'loss: NAME' in the config",
        ),
        (
            BASE + "metrics: 3\n",
            "metrics must be a list of names, got 3",
            "write 'metrics: [NAME, {name: NAME, argument: value}]'",
        ),
    ],
)
def test_what_is_missing_is_named(experiment, text, what, fix):
    """With the names that there are."""
    with pytest.raises(InvalidValueError) as caught:
        experiment(text)
    assert (caught.value.what, caught.value.fix) == (what, fix)


def test_the_task_decides_which_slots_count(experiment):
    """A slot that it does not use is an error; its own defaults win."""
    made = experiment(BASE + "task: {name: plain, power: 2}\n")
    assert made.build_task().power == 2.0
    assert "loss" not in made.resolved and made.resolved["callbacks"] == []
    with pytest.raises(UnknownKeyError) as caught:
        experiment(BASE + "task: plain\nloss: focal\n")
    assert (caught.value.what, caught.value.known) == (
        "task 'plain' uses no loss",
        "it uses: architecture",
    )


def test_metrics_have_names(experiment):
    """Two of a kind are told apart by a number."""
    made = experiment(BASE + "metrics: [f1, {class_path: torchmetrics.MeanMetric}, f1]\n")
    assert list(made.build_task().metrics) == ["f1", "MeanMetric", "f1_2"]
    assert experiment(BASE + "metrics: []\n").build_task().metrics == {}


def test_schedulers_learn_the_number_of_steps_later(experiment):
    """``total_steps`` is left to the run unless the config sets it."""
    made = experiment(BASE + "scheduler: warmup_cosine\n")
    assert "total_steps" not in made.resolved["scheduler"]
    scheduler = made.build_task().make_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    assert scheduler(optimizer, total_steps=10).get_last_lr() == [1.0]
    made = experiment(BASE + "scheduler: {name: warmup_cosine, total_steps: 4, warmup: 2}\n")
    assert made.build_task().make_scheduler.keywords == {"total_steps": 4, "warmup": 2.0}


def test_loggers_write_into_the_run_folder(experiment, tmp_path):
    """Unless the config tells them where."""
    made = experiment(BASE + f"loggers: [csv, {{name: csv, save_dir: {tmp_path}/mine}}]\n")
    ours, theirs = made.build_loggers(tmp_path / "run")
    assert isinstance(ours, CSVLogger)
    assert ours.log_dir.rstrip("/") == f"{tmp_path}/run/csv"
    assert theirs.root_dir.startswith(f"{tmp_path}/mine")


def test_the_config_can_block_plugins(experiment):
    """Like the command line does."""
    with pytest.raises(PluginError, match=r"disabled.*plugins\.block"):
        experiment(BASE + "plugins: {block: acme-toys}\n")


HOOKS = """
import dlplug
from torch import nn


@dlplug.hookimpl
def dlplug_model_built(model, config):
    return nn.Sequential(model, nn.Softplus()) if config["name"] == "soft" else None


@dlplug.hookimpl
def dlplug_upgrade_config(config):
    if isinstance(config.get("architecture"), dict) and "height" in config["architecture"]:
        config["architecture"]["depth"] = config["architecture"].pop("height")
        return config


@dlplug.hookimpl
def dlplug_components(kind):
    return {"flat": nn.Flatten} if kind == "architectures" else None
"""


def test_plugins_change_models_configs_and_names(experiment, fake_distribution):
    """The three hooks that a config meets."""
    fake_distribution(
        "acme-hooks",
        entry_points={"dlplug": {"hooks": "acme_hooks"}},
        modules={"acme_hooks": HOOKS},
    )
    assert (
        type(experiment(BASE, ("name", "soft")).build_task().architecture[1]).__name__ == "Softplus"
    )
    made = experiment("data: squares\narchitecture:\n  name: tower\n  height: 5\n")
    assert made.resolved["architecture"]["depth"] == 5
    assert made.where("architecture.name").endswith("a.yaml, line 3")
    assert experiment("data: squares\narchitecture: flat\n").resolved["architecture"] == {
        "name": "acme-hooks:flat",
        "start_dim": 1,
        "end_dim": -1,
    }


def test_the_two_halves_make_the_whole(toys, tmp_path):
    """compose, then resolve, is load."""
    path = tmp_path / "a.yaml"
    path.write_text(BASE)
    composed = compose([path], [("name", "x")])
    assert (
        resolve(composed, Registry.discover()).resolved
        == load([path], [("name", "x")], Registry.discover()).resolved
    )


def test_a_plugin_with_the_name_of_a_default_does_not_matter(fake_distribution):
    """A config that leaves out the loss gets dlplug's, whoever else offers that name."""
    fake_distribution(
        "acme-losses",
        entry_points={"dlplug.losses": {"cross_entropy": "acme_losses:loss"}},
        modules={"acme_losses": "def loss(output, target):\n    return output.sum()\n"},
    )
    overrides = [("data", "digits"), ("architecture", "mlp")]
    experiment = load([], overrides, Registry.discover())
    assert experiment.resolved["loss"]["name"] == "dlplug:cross_entropy"
    assert "dlplug:cross_entropy" in [component.id for component in experiment.components]
