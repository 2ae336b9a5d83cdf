"""Names and arguments of components."""

import re

import pytest

import dlplug
from dlplug.errors import (
    DataError,
    InvalidValueError,
    PluginError,
    UnknownComponentError,
    UnknownKeyError,
    UntrustedError,
)
from dlplug.plugin.builtins import COMPONENTS

BASE = "data: squares\narchitecture: tower\n"


def test_an_unknown_component_is_refused_before_anything_is_imported(experiment, tmp_path):
    """With file, line, providers and the nearest name."""
    with pytest.raises(UnknownComponentError) as caught:
        experiment("data: squares\narchitecture: towr\n")
    built_in = ", ".join(sorted(COMPONENTS["architectures"]))
    assert str(caught.value) == (
        "no architecture named 'towr'\n"
        f"  where: {tmp_path}/a.yaml, line 2, architecture\n"
        f"  known: {built_in} (dlplug {dlplug.__version__}), "
        "named, tower, untyped, wide, words (acme-toys 2.1)\n"
        "  fix:   did you mean 'tower'? list all: python -m dlplug plugins list --kind "
        "architectures"
    )


def test_an_unknown_argument_is_refused(experiment, tmp_path):
    """With the arguments, their types, and the nearest name."""
    with pytest.raises(UnknownKeyError) as caught:
        experiment("data: squares\narchitecture:\n  name: tower\n  dept: 3\n")
    assert str(caught.value) == (
        "architecture 'tower' has no argument 'dept'\n"
        f"  where: {tmp_path}/a.yaml, line 4, architecture.dept\n"
        "  known: num_classes: int, image_size: int, depth: int, act: callable, "
        "norm: Module | null, shape: tuple[int, int]\n"
        "  fix:   did you mean 'depth'?"
    )


def test_arguments_without_a_name_are_refused(experiment):
    """Where the slot has no default component."""
    with pytest.raises(InvalidValueError) as caught:
        experiment("data: squares\narchitecture: {depth: 3}\n")
    assert caught.value.what == "architecture has arguments but names no architecture"
    assert caught.value.fix == "--architecture NAME, or 'architecture: {name: NAME, ...}'"


def test_a_missing_argument_is_named_with_its_type(experiment):
    """And how to set it."""
    with pytest.raises(InvalidValueError) as caught:
        experiment("data: squares\narchitecture: named\n")
    assert caught.value.what == "architecture 'named' needs name"
    assert (caught.value.known, caught.value.fix) == (
        "name: str",
        "--architecture.init_args.name VALUE",
    )


def test_all_missing_arguments_are_named_at_once(experiment):
    """Rather than one by one."""
    with pytest.raises(InvalidValueError) as caught:
        experiment("data: squares\narchitecture: {class_path: torch.nn.Conv2d}\n")
    assert caught.value.what == ("architecture 'torch.nn.Conv2d' needs out_channels, kernel_size")
    assert caught.value.fix == "--architecture.out_channels VALUE --architecture.kernel_size VALUE"


def test_a_missing_fact_says_that_the_data_has_none(experiment):
    """Not set, and not published."""
    with pytest.raises(InvalidValueError) as caught:
        experiment("data: squares\narchitecture: words\n")
    assert caught.value.what == (
        "architecture 'words' needs vocab_size (data squares publishes none)"
    )


def test_open_arguments_are_explicit(experiment):
    """What jsonargparse cannot follow is passed on under dict_kwargs, never by accident."""
    with pytest.raises(UnknownKeyError) as caught:
        experiment("data: squares\narchitecture: {name: untyped, widht: 3}\n")
    assert caught.value.fix == (
        "did you mean 'width'? or pass it on unchecked: architecture: {dict_kwargs: {widht: ...}}"
    )
    made = experiment(
        "data: squares\narchitecture: {name: untyped, width: 2, dict_kwargs: {bias: [1]}}\n"
    )
    assert made.resolved["architecture"] == {
        "name": "acme-toys:untyped",
        "num_classes": 3,
        "width": 2,
        "dict_kwargs": {"bias": [1]},
    }
    with pytest.raises(UnknownKeyError, match="does not take dict_kwargs"):
        experiment("data: squares\narchitecture: {name: tower, dict_kwargs: {a: 1}}\n")


def test_an_argument_called_name_stands_under_init_args(experiment):
    """The component's own name and its argument do not collide, in both directions."""
    text = "data: squares\narchitecture: {name: named, init_args: {name: x, depth: 1}}\n"
    made = experiment(text)
    architecture = made.build_task().architecture
    assert architecture.name == "x" and architecture.told["depth"] == 1
    assert made.resolved["architecture"]["name"] == "acme-toys:named"
    assert made.resolved["architecture"]["init_args"]["name"] == "x"
    assert "    num_classes: 3  # from data squares\n" in made.to_yaml()


def test_keyword_arguments_are_followed(experiment):
    """``**kwargs`` that go to the base class are typed."""
    with pytest.raises(InvalidValueError) as caught:
        experiment(
            "data: squares\narchitecture: {name: named, init_args: {name: x, depth: deep}}\n"
        )
    assert caught.value.what == "architecture.depth must be int, got 'deep'"


def test_a_class_path_is_a_component(experiment):
    """In the form of LightningCLI; it is listed with the distribution that holds it."""
    made = experiment(
        "data: squares\n"
        "architecture: {class_path: torch.nn.Linear, init_args: {in_features: 16}}\n"
        "optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.1}}\n"
    )
    assert made.resolved["architecture"]["init_args"]["out_features"] == 3
    assert made.filled["architecture.out_features"] == "from data squares"
    component = next(c for c in made.components if c.kind == "architectures")
    assert (component.distribution, component.target) == ("torch", "torch.nn:Linear")


def test_a_class_path_of_another_kind_is_refused(experiment, tmp_path):
    """The slot's base class decides."""
    with pytest.raises(UntrustedError) as caught:
        experiment("data: squares\narchitecture:\n  class_path: torch.hub.load\n")
    assert caught.value.where == f"{tmp_path}/a.yaml, line 3, architecture"


def test_nested_components_go_by_name(experiment):
    """Parameters that are called like a kind take names, mappings and lists of them."""
    made = experiment(
        "data: {name: squares, transforms: [shift, {name: shift, by: 3}]}\n"
        "architecture: tower\n"
        "loss: {name: sum, losses: [cross_entropy, {name: scaled, scale: 2}]}\n"
    )
    assert [transform(1) for transform in made.datamodule.transforms] == [2, 4]
    losses = made.build_task().loss.losses
    assert type(losses[0]).__name__ == "CrossEntropyLoss" and losses[1].keywords == {"scale": 2.0}
    assert made.resolved["loss"]["losses"][1] == {"name": "acme-toys:scaled", "scale": 2.0}
    assert [c.name for c in made.components if c.kind == "losses"] == [
        "sum",
        "cross_entropy",
        "scaled",
    ]


def test_a_nested_component_is_checked_like_any_other(experiment):
    """Names and arguments, with the whole key."""
    with pytest.raises(UnknownComponentError, match="no transform named 'shfit'") as caught:
        experiment("data: {name: squares, transforms: [shfit]}\narchitecture: tower\n")
    assert caught.value.where.endswith("a.yaml, line 1, data.transforms.0")
    with pytest.raises(UnknownKeyError, match="transform 'shift' has no argument 'bye'") as caught:
        experiment("data: {name: squares, transforms: [{name: shift, bye: 1}]}\n")
    assert caught.value.where.endswith("data.transforms.0.bye")


def test_a_component_that_refuses_its_arguments_is_named(experiment):
    """The library's own words, with the place in the config."""
    made = experiment("data: squares\narchitecture: {name: tower, depth: 0}\n")
    with pytest.raises(InvalidValueError) as caught:
        made.build_task()
    words, place = caught.value.what.split(" (", 1)
    assert words == "architecture 'tower' refuses its arguments: ValueError: depth 0 is below 1"
    assert re.search(r"parts\.py, line \d+\)$", place)
    assert caught.value.where.endswith("a.yaml, line 2, architecture")
    made = experiment(BASE + "optimizer: {name: sgd, lr: -1}\n")
    with pytest.raises(InvalidValueError, match="Invalid learning rate: -1"):
        task = made.build_task()
        task.make_optimizer(task.parameters())


def test_a_missing_file_is_an_error_of_the_data(experiment):
    """Named with the component that needs it."""
    with pytest.raises(DataError, match="data 'squares' cannot read what it needs"):
        experiment("data: {name: squares, path: /no/such/file}\narchitecture: tower\n")


def test_an_object_of_another_kind_is_refused(experiment):
    """A callback that Lightning would not call, such as one of pytorch_lightning."""
    made = experiment(BASE + "callbacks: [impostor]\n")
    with pytest.raises(PluginError) as caught:
        made.build_callbacks()
    assert caught.value.what == (
        "callback 'impostor' of acme-toys 2.1 makes a builtins.object, "
        "not a lightning.pytorch.callbacks.callback.Callback"
    )


def test_the_tasks_own_slots_are_no_arguments_of_it(experiment):
    """They are keys of the top level."""
    with pytest.raises(UnknownKeyError) as caught:
        experiment(BASE + "task: {name: classification, loss: focal}\n")
    assert caught.value.fix == "'loss' is a key of the config's top level"


@pytest.mark.parametrize("name", ["width", "num_classes"])
def test_known_parameters_cannot_pass_unchecked(experiment, name):
    """``dict_kwargs`` is for what the signature does not show."""
    text = f"data: squares\narchitecture: {{name: untyped, dict_kwargs: {{{name}: x}}}}\n"
    with pytest.raises(InvalidValueError) as caught:
        experiment(text)
    assert caught.value.what == (
        f"architecture 'untyped' has the parameter '{name}': it cannot stand in dict_kwargs"
    )
    assert caught.value.where.endswith(f"line 2, architecture.dict_kwargs.{name}")
    assert caught.value.fix == "write it beside the name"


def test_a_tasks_parts_cannot_pass_unchecked(experiment, fake_distribution):
    """What dlplug builds and supplies is a key of the top level."""
    source = (
        "from lightning.pytorch import LightningModule\n"
        "class Open(LightningModule):\n"
        "    def __init__(self, architecture, **rest):\n        super().__init__()\n"
    )
    lines = {"dlplug.tasks": {"open": "acme_open:Open"}}
    fake_distribution("acme-open", "1", entry_points=lines, modules={"acme_open": source})
    base = "data: squares\narchitecture: tower\n"
    with pytest.raises(InvalidValueError) as caught:
        experiment(base + "task: {name: open, dict_kwargs: {architecture: x}}\n")
    assert caught.value.fix == "delete it: dlplug supplies it"


def test_a_parameter_called_command_takes_plain_values(experiment, fake_distribution):
    """Commands are a kind that no config builds."""
    source = (
        "from torch import nn\n"
        "def shell(num_classes, command=None):\n    return nn.Linear(1, num_classes)\n"
    )
    lines = {"dlplug.architectures": {"shell": "acme_shell:shell"}}
    fake_distribution("acme-shell", "1", entry_points=lines, modules={"acme_shell": source})
    made = experiment("data: squares\narchitecture: {name: shell, command: ls}\n")
    assert made.resolved["architecture"]["command"] == "ls"


@pytest.mark.parametrize("lr", [".inf", "1e400", ".nan"])
def test_numbers_of_an_optimizer_are_finite(experiment, tmp_path, lr):
    """As text, `inf` is refused as text; these are numbers, and torch would train with them."""
    with pytest.raises(InvalidValueError, match=r"optimizer.lr must be finite, got (inf|nan)") as e:
        experiment(BASE + f"optimizer: {{name: sgd, lr: {lr}}}\n")
    assert e.value.where == f"{tmp_path}/a.yaml, line 3, optimizer.lr"
