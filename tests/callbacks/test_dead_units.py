"""DeadUnits: the share of units that are never active, by layer."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.dead_units import DeadUnits
from dlplug.errors import InvalidValueError
from tests.callbacks.built_ins import NAMES, built, inputs_of


def half_dead():
    """A quarter of the first layer's units can never be active."""
    layer = nn.Linear(64, 16)
    with torch.no_grad():
        layer.bias[:4] = -1e4
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(16, 10))


def test_the_share_is_counted_and_told(task, fit, capsys):
    """A quarter, and the layer's name; once."""
    callback = DeadUnits(warn_above=0.2)
    fit(task(half_dead()), callback)
    assert callback.shares["2"] >= 0.25
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dead_units")]
    assert " of the units of 2 were never active in epoch 1; " in line


def test_units_of_images_are_channels(task, fit):
    """A dead channel of a convolution."""
    convolution = nn.Conv2d(1, 4, 3)
    with torch.no_grad():
        convolution.bias[1] = -1e4
    model = nn.Sequential(convolution, nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    callback = DeadUnits()
    fit(task(model), callback, max_epochs=1)
    assert callback.shares == {"1": 0.25}


def test_a_living_network_has_none(task, fit, capsys):
    """No word of it."""
    callback = DeadUnits()
    fit(task(), callback)
    assert callback.shares["layers.2"] < 0.5 and "dead_units" not in capsys.readouterr().err


class DiesInEpoch(lightning.Callback):
    """All units live until the fourth batch, then a quarter is dead; one may be the last."""

    def __init__(self, last=None):
        self.last = last

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.last:
            raise RuntimeError("the machine is on fire")
        with torch.no_grad():
            bias = pl_module.architecture[1].bias
            bias += 100.0
            bias[:4] = 100.0 if batch_idx < 3 else -1e4


def test_an_epoch_that_goes_on_is_counted_whole(task, fit):
    """What was active before a crash is in the checkpoint, and not in another training."""
    callback, keep = DeadUnits(), Checkpoint(every_n_steps=3)
    with pytest.raises(RuntimeError, match="on fire"):
        fit(task(half_dead()), DiesInEpoch(last=4), callback, keep, max_epochs=1)
    assert torch.load(keep.last_model_path, weights_only=True)["global_step"] == 3
    resumed, path = DeadUnits(), keep.last_model_path
    trainer = fit(task(half_dead()), DiesInEpoch(), resumed, max_epochs=1, ckpt_path=path)
    assert trainer.global_step == 5 and resumed.shares == {"2": 0.0}
    fit(task(half_dead()), callback, max_epochs=1)
    assert callback.shares["2"] >= 0.25


def test_a_checkpoint_knows_what_lives_in_any_process(monkeypatch):
    """Each goes on with all of it, whatever their number is then."""

    def gather(parts, own):
        parts[:] = [own, {"2": torch.tensor([False, True, False]), "4": torch.tensor([True])}]

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    callback = DeadUnits()
    callback.load_state_dict({"active": {"2": torch.tensor([True, False, False])}})
    saved = {name: units.tolist() for name, units in callback.state_dict()["active"].items()}
    assert saved == {"2": [True, True, False], "4": [True]}


# Where a layer stands whose units the nonlinearity gives out, and which nonlinearity that is; of a
# recurrent network, whose nonlinearities are no modules, there is none.
UNITS = {
    "mlp": ("layers.1", "layers.2"),
    "vit": ("blocks.1.mlp.0", "blocks.1.mlp.1"),
    "resnet": ("blocks.2.norms.0", "blocks.2.activations.0"),
    "separable_cnn": ("layers.4", "layers.5"),
    "convnext": ("layers.2.mlp.0", "layers.2.mlp.1"),
    "unet": ("up.1.4", "up.1.5"),
    "cct": ("blocks.0.mlp.0", "blocks.0.mlp.1"),
    "ft_transformer": ("norm", "head.0"),
    "tcn": ("blocks.1.second", "blocks.1.activations.1"),
    "encoder_decoder": (None, "decoder.1.network.activation"),
    "transformer": (None, "blocks.1.network.activation"),
}
RECURRENT = ("rnn", "lstm", "gru")


def watched_pass(network, inputs):
    """Shares of dead units after one forward pass in training mode."""
    callback = DeadUnits(warn_above=1.0)
    trainer = SimpleNamespace(
        world_size=1, global_step=1, is_global_zero=True, loggers=[], current_epoch=0
    )
    callback.setup(trainer, network, "fit")
    callback.on_fit_start(trainer, network)
    network.train()(**inputs)
    callback.on_train_epoch_end(trainer, network)
    callback.teardown(trainer, network, "fit")
    return callback.shares


@pytest.mark.parametrize("name", sorted(UNITS))
def test_every_built_in_architecture_is_watched(name):
    """Two units that are killed are the two that are counted, wherever the units lie."""
    layer, nonlinearity = UNITS[name]
    more = {"activation": "gelu"} if name == "transformer" else {}
    network = built(name, **more)
    if layer is None:
        layer = nonlinearity.replace("activation", "up")
    module = network.get_submodule(layer)
    with torch.no_grad():
        if module.bias is None:  # of SwiGLU: the first half are the gates, and 0 is not active
            module.weight[: len(module.weight) // 2].fill_(1)
            module.weight[:2] = 0
            expected = 4 / len(module.weight)
        else:
            module.bias += 100.0  # the others live
            module.bias[:2] = -1e4
            expected = 2 / len(module.bias)
    shares = watched_pass(network, inputs_of(name))
    assert shares[nonlinearity] == pytest.approx(expected)
    kinds = (nn.ReLU, nn.GELU, nn.SiLU)
    assert shares.keys() == {n for n, m in network.named_modules() if isinstance(m, kinds)}


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(UNITS)))
def test_a_network_without_such_modules_is_refused(task, fit, name):
    """Nothing would be watched, as in the recurrent networks; no step is trained."""
    assert name in RECURRENT
    module = task(built(name))
    with pytest.raises(InvalidValueError, match="has no nonlinearity that is a module"):
        fit(module, DeadUnits())
    assert module.trainer.global_step == 0


def test_a_value_out_of_range_is_refused():
    """The message holds it."""
    with pytest.raises(InvalidValueError, match=r"warn_above = 1.5 is not in \[0, 1\]"):
        DeadUnits(warn_above=1.5)
