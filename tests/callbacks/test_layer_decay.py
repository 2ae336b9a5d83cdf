"""layer_decay: the learning rate of each layer."""

import functools

import pytest
import torch
from torch import nn

from dlplug.architectures.vit import ViT
from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.layer_decay import LayerDecay
from dlplug.errors import InvalidValueError
from dlplug.schedulers.warmup_cosine import warmup_cosine

# Of the two blocks' vit below with decay 0.5: layer 0 is the embedding, 3 the head.
RATES = {
    "cls_1D": 0.125,
    "position_TD": 0.125,
    "embed": 0.125,
    "blocks.0": 0.25,
    "blocks.1": 0.5,
    "norm": 1.0,
    "head": 1.0,
}


def vit():
    torch.manual_seed(0)
    return ViT(num_outputs=10, in_channels=1, image_size=8, patch_size=4, dim=8, depth=2, heads=2)


def expected_rate(name):
    name = name.removeprefix("architecture.")
    return next(rate for prefix, rate in RATES.items() if name.startswith(prefix))


def groups_by_name(module, trainer):
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = trainer.optimizers[0].param_groups
    return {names[id(p)]: group for group in groups for p in group["params"]}


def test_each_layer_of_a_vit_has_its_rate(task, fit):
    """Rates by depth, no decay for norms and biases, each parameter once."""
    module = task(vit())
    trainer = fit(module, LayerDecay(0.5), max_epochs=1)
    groups = groups_by_name(module, trainer)
    assert groups.keys() == {name for name, _ in module.named_parameters()}
    assert sum(len(g["params"]) for g in trainer.optimizers[0].param_groups) == len(groups)
    for name, parameter in module.named_parameters():
        assert groups[name]["lr"] == pytest.approx(0.01 * expected_rate(name)), name
        is_decayed = parameter.ndim >= 2
        assert (groups[name]["weight_decay"] > 0) == is_decayed, name


def test_a_scheduler_scales_every_rate(task, fit):
    """After five steps of a warm-up of ten: the sixth of ten parts."""
    module = task(vit())
    module.make_scheduler = functools.partial(warmup_cosine, total_steps=100, warmup=10)
    trainer = fit(module, LayerDecay(0.5), max_epochs=1)
    for name, group in groups_by_name(module, trainer).items():
        assert group["initial_lr"] == pytest.approx(0.01 * expected_rate(name))
        assert group["lr"] == pytest.approx(0.6 * group["initial_lr"])


def test_an_optimizer_without_weight_decay_has_the_rates_too(task, fit):
    """Its groups hold no weight_decay."""
    module = task(vit())
    module.make_optimizer = functools.partial(torch.optim.Rprop, lr=0.01)
    trainer = fit(module, LayerDecay(0.5), max_epochs=1, max_steps=1)
    groups = trainer.optimizers[0].param_groups
    assert {g["lr"] for g in groups} == {0.01 * f for f in (0.125, 0.25, 0.5, 1)}
    assert not any("weight_decay" in group for group in groups)


def test_a_resumed_training_gives_the_same_weights(task, fit):
    """One epoch and one more equal two, bit by bit."""
    whole = task(vit())
    fit(whole, LayerDecay(0.5), max_epochs=2)
    keep = Checkpoint()
    fit(task(vit()), LayerDecay(0.5), keep, max_epochs=1)
    again = task(vit())
    fit(again, LayerDecay(0.5), Checkpoint(), max_epochs=2, ckpt_path=keep.last_model_path)
    for mine, other in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("decay", [0.0, 1.5, float("nan")])
def test_values_out_of_range_are_refused(decay):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=f"decay = {decay}"):
        LayerDecay(decay)


def test_an_architecture_without_blocks_is_refused(task, fit):
    """The message names its class."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InvalidValueError, match="Sequential has no blocks"):
        fit(task(model), LayerDecay(0.5))
