"""CompactAdamW: a GradScaler's unscaling, clipping, averages, and states for plain AdamW."""

import copy

import pytest
import torch
from torch import nn

from dlplug import config, ops
from dlplug.errors import InvalidValueError
from dlplug.ops.fallback.adamw import move_averages
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests.optim.test_compact_adamw import each_storage, model, train

BFLOAT16 = torch.bfloat16


def give(network, seed, factor=1.0):
    numbers = torch.Generator().manual_seed(seed)
    for param in network.parameters():
        param.grad = torch.randn(param.shape, generator=numbers).to(param.dtype) * factor


def assert_same(network, other, optimizer=None, peer=None):
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        if optimizer is not None:
            states = optimizer.state[ours], peer.state[theirs]
            torch.testing.assert_close(*map(dict, states), rtol=0, atol=0)


@each_storage
@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_unscales_and_skips(storage, fused):
    """Within the step or before it: the steps of the unscaled gradients, bit for bit."""
    plain, scaled = model(), model()
    theirs = CompactAdamW(plain.parameters(), lr=3e-3, storage=storage)
    ours = CompactAdamW(scaled.parameters(), lr=3e-3, storage=storage, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)
    scaler.scale(torch.ones(()))
    for seed in range(6):
        is_finite = seed not in (1, 4)
        random = torch.get_rng_state()
        give(plain, seed)
        if is_finite:
            theirs.step()
        torch.set_rng_state(random)
        scale = scaler.get_scale()
        give(scaled, seed, scale)
        if not is_finite:
            scaled[0].weight.grad[0, 0] = torch.inf
        scaler.step(ours)
        assert (scaler.get_scale() == scale) and ours.state[scaled[0].weight]["step"] > 0
        if is_finite:
            for a, b in zip(scaled.parameters(), plain.parameters(), strict=True):
                assert torch.equal(a.grad, b.grad)
        scaler.update()
    assert scaler.get_scale() == 2.0**8
    assert_same(scaled, plain, ours, theirs)


def test_tied_gradients_are_divided_once():
    """Two parameters with one gradient, under a scaler that leaves the division to the step."""
    params = [nn.Parameter(torch.ones(4)) for _ in range(2)]
    grad = torch.full((4,), 16.0)
    for param in params:
        param.grad = grad
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    scaler.step(CompactAdamW(params, fused=True))
    assert torch.equal(grad, torch.full((4,), 2.0))


@each_storage
@pytest.mark.parametrize("fused", [False, True])
def test_it_clips_by_norm(storage, fused):
    """The step of gradients scaled down in float32, which stay as they are; after unscaling."""
    network, other = model(), model()
    limited = CompactAdamW(
        network.parameters(), lr=3e-3, storage=storage, max_grad_norm=0.5, fused=fused
    )
    factor_of = CompactAdamW(other.parameters(), lr=3e-3, storage=storage)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    scaler.scale(torch.ones(()))
    give(network, 0, 64.0)
    give(other, 0)
    norm = torch.nn.utils.get_total_norm([p.grad.float() for p in other.parameters()])
    assert norm > 5
    factor_of._clip = lambda: 0.5 / (norm.item() + 1e-6)
    random = torch.get_rng_state()
    scaler.step(limited)
    torch.set_rng_state(random)
    factor_of.step()
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
        torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=1e-4)
        found, expected = limited.float32_values(ours), factor_of.float32_values(theirs)
        torch.testing.assert_close(
            found["exp_avg"], expected["exp_avg"], rtol=0.02, atol=1e-3 / norm.item()
        )
        assert expected["exp_avg"].norm() <= 0.1 * 0.5 * 1.05


@each_storage
def test_its_averages_follow_the_stored_parameters(storage):
    """As a pass after each step, through a save and a load; without them nothing else changes."""
    network, other = model(), model()
    ours = CompactAdamW(network.parameters(), lr=3e-3, storage=storage, ema_decay=0.9)
    theirs = CompactAdamW(other.parameters(), lr=3e-3, storage=storage)
    averages = [param.detach().float().clone() for param in other.parameters()]
    for seed in range(6):
        random = torch.get_rng_state()
        give(network, seed)
        ours.step()
        torch.set_rng_state(random)
        give(other, seed)
        theirs.step()
        move_averages(averages, other.parameters(), 1 - 0.9)
        if seed == 3:
            state = copy.deepcopy(ours.state_dict())
            ours = CompactAdamW(network.parameters(), lr=1.0, storage=storage, ema_decay=0.9)
            ours.load_state_dict(state)
    assert_same(network, other)
    found = [ours.state[param]["ema"] for param in network.parameters()]
    assert all(average.dtype is torch.float32 for average in found)
    torch.testing.assert_close(found, averages, rtol=1e-6, atol=1e-6)
    without = CompactAdamW(network.parameters(), storage=storage)
    without.load_state_dict(ours.state_dict())
    assert not any("ema" in state for state in without.state.values())
    give(network, 9)
    without.step()


def test_averages_that_a_step_cannot_move_are_given_back():
    """One parameter has none: the step is made, all that were given are still to be moved."""
    network = model()
    optimizer = CompactAdamW(network.parameters())
    given = {id(p): p.detach().float() for p in list(network.parameters())[:2]}
    before = {key: average.clone() for key, average in given.items()}
    optimizer.average_in_next_step(given, 0.5)
    give(network, 0)
    optimizer.step()
    assert optimizer.state[network[2].bias]["step"] == 1
    torch.testing.assert_close(optimizer.take_back_averages(), before, rtol=0, atol=0)


@each_storage
@pytest.mark.parametrize("plain", [torch.optim.AdamW, FusedAdamW])
def test_its_state_goes_to_plain_adamw_and_back(storage, plain):
    """In float32, with every option; what comes back is what went, to the last bit kept."""
    network = model()
    ours = CompactAdamW(
        [{"params": network[0].parameters(), "weight_decay": 0.0}, {"params": [network[2].weight]}],
        lr=3e-3,
        betas=(0.8, 0.95),
        storage=storage,
    )
    train(network, ours, 5)
    wide = copy.deepcopy(network).float()
    groups = [
        {"params": wide[0].parameters(), "weight_decay": 0.0},
        {"params": [wide[2].weight]},
    ]
    theirs = plain(groups, lr=1.0)
    theirs.load_state_dict(ours.plain_state_dict())
    assert [g["weight_decay"] for g in theirs.param_groups] == [0.0, 0.01]
    assert all(g["lr"] == 3e-3 and g["betas"] == (0.8, 0.95) for g in theirs.param_groups)
    for a, b in zip(network[0].parameters(), wide[0].parameters(), strict=True):
        values, state = ours.float32_values(a), theirs.state[b]
        assert state["step"] == 5
        for name in ("exp_avg", "exp_avg_sq"):
            assert state[name].dtype is torch.float32
            assert torch.equal(values[name], state[name])
    train(wide, theirs, 1)  # the layer that is in no group keeps its gradient
    back = CompactAdamW(ours.param_groups, storage=storage)
    back.load_state_dict(ours.plain_state_dict())
    for param in network[0].parameters():
        a, b = ours.float32_values(param), back.float32_values(param)
        # The bits of a weight beyond its bfloat16 are in no state of plain AdamW.
        assert torch.equal(b["param"], param.float())
        for name in ("exp_avg", "exp_avg_sq"):  # each value is one that can be stored
            torch.testing.assert_close(a[name], b[name], rtol=1e-6, atol=0)


def test_values_out_of_range_are_refused():
    """With the name of the option."""
    for options, words in (
        ({"max_grad_norm": 0.0}, "max_grad_norm = 0.0 is out of range"),
        ({"ema_decay": 1.0}, "ema_decay = 1.0 is out of range"),
    ):
        with pytest.raises(InvalidValueError, match=words):
            CompactAdamW(model().parameters(), **options)


MODES = {"float32": ("adamw", "32-true", "")}
MODES |= {storage: ("compact_adamw", "bf16-true", f", storage: {storage}") for storage in STORAGES}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_trains_and_resumes_with_average_and_clipping(mode, tmp_path, caplog):
    """From a config; interrupted and continued it has the bits of one go. Both are in the step."""
    name, precision, storage = MODES[mode]
    text = (
        "seed_everything: 0\nname: tiny\narchitecture: {name: mlp, hidden: [16]}\n"
        f"optimizer: {{name: {name}, lr: 0.003{storage}}}\n"
        "data: {name: digits, flatten: true}\ncallbacks: [{name: ema, decay: 0.9}]\n"
        f"trainer: {{accelerator: cpu, precision: {precision}, limit_train_batches: 5,"
        " gradient_clip_val: 0.1}\n"
    )
    (tmp_path / "tiny.yaml").write_text(text)

    def fit(root, epochs, **arguments):
        experiment = config.load([tmp_path / "tiny.yaml"], [("trainer.max_epochs", str(epochs))])
        return Run(verbs.fit(experiment, root=root, progress=False, **arguments).run)

    with caplog.at_level("INFO", "dlplug"):
        whole = fit(tmp_path / "whole", 2)
    told = [message for message in caplog.messages if "step" in message]
    averaging = "ema: 4 averages are moved by the optimizer's step"
    clipping = "gradient_clip_val: the optimizer's step clips"
    assert told == ([averaging] if ops.isas() else []) + [clipping]
    parts = fit(tmp_path / "parts", 1)
    parts = fit(tmp_path / "parts", 2, resume=str(parts.path))
    first, second = (torch.load(run.last, weights_only=True) for run in (whole, parts))
    for content in (first, second):
        content["states"] = content["optimizer_states"][0]["state"]
    for key in ("state_dict", "ema", "states"):
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
    assert first["state_dict"]["architecture.layers.1.weight"].dtype is torch.float32
