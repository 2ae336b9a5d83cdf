"""Components with their arguments, ready to be built."""

import inspect

import pytest
import torch

BASE = "data: squares\narchitecture: tower\n"


def test_an_optimizer_is_a_partial_of_its_arguments(experiment):
    """Signature and keywords are those of functools.partial, which tasks look at."""
    made = experiment(BASE + "optimizer: {name: sgd, lr: 0.5, weight_decay: 0.1}\n")
    optimizer = made.build_task().make_optimizer
    assert optimizer.keywords == {"lr": 0.5, "weight_decay": 0.1}
    assert inspect.signature(optimizer).parameters["weight_decay"].default == 0.1
    assert optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.25).defaults["lr"] == 0.25


def test_an_error_inside_a_loss_keeps_its_type(experiment):
    """Only building is a matter of arguments; a step that fails is not."""
    loss = experiment(BASE + "loss: {name: scaled, scale: 2}\n").build_task().loss
    assert loss.keywords == {"scale": 2.0}
    with pytest.raises(TypeError):
        loss(None, None)


def test_non_plain_defaults_are_left_out(experiment):
    """What YAML cannot hold is not in the resolved config, and stays at its default."""
    made = experiment()
    assert "act" not in made.resolved["architecture"]
    assert made.build_task().architecture.act is torch.nn.functional.relu


def test_a_resolved_config_names_ids(experiment):
    """Also for what dlplug provides: a plugin installed later cannot make it ambiguous."""
    made = experiment(BASE + "loss: {name: sum, losses: [focal]}\n")
    assert made.resolved["task"]["name"] == "dlplug:classification"
    assert made.resolved["optimizer"]["name"] == "dlplug:adamw"
    assert made.resolved["loss"]["losses"][0]["name"] == "dlplug:focal"
    assert made.resolved["metrics"][0]["name"] == "dlplug:accuracy"
