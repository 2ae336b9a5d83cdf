"""CompactAdamW as an optimizer: trains as AdamW does, saves, loads, copies, shards."""

import copy
import pickle

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from dlplug import config
from dlplug.errors import CheckpointError, DtypeError, InvalidValueError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from dlplug.run import verbs
from dlplug.run.folder import Run

BFLOAT16 = torch.bfloat16
each_storage = pytest.mark.parametrize("storage", STORAGES)


def model(dtype=BFLOAT16):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10)).to(dtype)


def train(network, optimizer, num_steps, seed=0):
    """The losses of steps on real digits."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    numbers = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(num_steps):
        rows = torch.randint(len(images), (64,), generator=numbers)
        scores = network(images[rows].to(next(network.parameters()).dtype))
        loss = nn.functional.cross_entropy(scores.float(), torch.tensor(digits.target)[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@each_storage
def test_it_trains_as_float32_does(storage):
    """Within a tenth of the loss that plain AdamW reaches with float32 weights."""
    torch.manual_seed(0)
    network = model()
    losses = train(network, CompactAdamW(network.parameters(), lr=3e-3, storage=storage), 200)
    plain = model(torch.float32)
    theirs = train(plain, FusedAdamW(plain.parameters(), lr=3e-3), 200)
    assert sum(theirs[-50:]) / 50 < 0.25 < theirs[0]
    assert sum(losses[-50:]) / 50 < 1.1 * sum(theirs[-50:]) / 50 + 0.01


@each_storage
def test_a_resumed_training_gives_the_same_bits(storage):
    """Every state keeps its dtype and its bits over a save and a load."""
    torch.manual_seed(3)
    whole = model()
    optimizer = CompactAdamW(whole.parameters(), lr=3e-3, storage=storage)
    train(whole, optimizer, 5)
    weights, state = copy.deepcopy(whole.state_dict()), copy.deepcopy(optimizer.state_dict())
    random = torch.get_rng_state()
    train(whole, optimizer, 5, seed=1)
    resumed = model()
    resumed.load_state_dict(weights)
    second = CompactAdamW(resumed.parameters(), lr=1.0, storage=storage)
    second.load_state_dict(state)
    for saved, loaded in zip(state["state"].values(), second.state.values(), strict=True):
        assert {n: (t.dtype, t.shape) for n, t in saved.items()} == {
            n: (t.dtype, t.shape) for n, t in loaded.items()
        }
    torch.set_rng_state(random)
    train(resumed, second, 5, seed=1)
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@each_storage
def test_fit_trains_and_resumes_with_it(storage, tmp_path, monkeypatch):
    """From a config, in bfloat16, interrupted and continued: the same bits as in one go."""
    text = (
        "seed_everything: 0\nname: tiny\narchitecture: {name: mlp, hidden: [16]}\n"
        f"optimizer: {{name: compact_adamw, lr: 0.003, storage: {storage}}}\n"
        "data: {name: digits, flatten: true}\n"
        "trainer: {accelerator: cpu, precision: bf16-true, limit_train_batches: 5}\n"
    )
    (tmp_path / "tiny.yaml").write_text(text)

    def fit(root, epochs, **arguments):
        experiment = config.load([tmp_path / "tiny.yaml"], [("trainer.max_epochs", str(epochs))])
        return Run(verbs.fit(experiment, root=root, progress=False, **arguments).run)

    whole = fit(tmp_path / "whole", 2)
    parts = fit(tmp_path / "parts", 1)
    parts = fit(tmp_path / "parts", 2, resume=str(parts.path))
    first, second = (torch.load(run.last, weights_only=True) for run in (whole, parts))
    assert first["global_step"] == second["global_step"] == 10
    torch.testing.assert_close(first["state_dict"], second["state_dict"], rtol=0, atol=0)
    states = [content["optimizer_states"][0]["state"] for content in (first, second)]
    torch.testing.assert_close(*states, rtol=0, atol=0)


@each_storage
def test_states_of_plain_adamw_are_taken_over(storage):
    """From a state of torch.optim.AdamW; and given back in float32."""
    plain = model(torch.float32)
    theirs = torch.optim.AdamW(plain.parameters(), lr=3e-3)
    train(plain, theirs, 5)
    network = model()
    network.load_state_dict(plain.state_dict())
    optimizer = CompactAdamW(network.parameters(), lr=3e-3, storage=storage)
    optimizer.load_state_dict(theirs.state_dict())
    steps = {
        "8bit": (0.5 * 2 / 127, 0.5 * 4 / 255),
        "kahan": (2**-8,) * 2,
        "stochastic": (2**-8,) * 2,
    }
    for ours, other in zip(network.parameters(), plain.parameters(), strict=True):
        found, true = optimizer.float32_values(ours), theirs.state[other]
        for name, step in zip(("exp_avg", "exp_avg_sq"), steps.get(storage, (0, 0)), strict=True):
            allowed = step * true[name].abs().max() * 1.01
            assert found[name].dtype is torch.float32
            assert (found[name] - true[name]).abs().max() <= allowed
        assert torch.equal(found["param"], ours.float())
        assert optimizer.state[ours]["step"] == 5
    train(network, optimizer, 2)


def test_float32_values_before_the_first_step_are_the_weights():
    """With states of zeros."""
    network = model()
    optimizer = CompactAdamW(network.parameters(), storage="kahan")
    found = optimizer.float32_values(network[0].weight)
    assert torch.equal(found["param"], network[0].weight.float())
    assert not found["exp_avg"].any() and not found["exp_avg_sq"].any()


def test_reading_changes_nothing():
    """No state begins by it, so the first step still asks whether the storage is for the model."""
    network = model()
    optimizer = CompactAdamW(network.parameters(), storage="kahan")
    optimizer.float32_values(network[0].weight)
    assert not optimizer.state
    network[0].weight.grad = torch.ones_like(network[0].weight)
    optimizer.step()
    assert optimizer.state[network[2].weight] == {}  # which this look has put there
    plain = optimizer.plain_state_dict()
    assert list(plain["state"]) == [0]


def test_a_model_of_another_dtype_is_refused_at_every_step():
    """Its parameters are the same objects, and the states no longer theirs."""
    network = model()
    optimizer = CompactAdamW(network.parameters(), storage="kahan")
    train(network, optimizer, 2)
    network.float()
    for _ in range(2):
        with pytest.raises(DtypeError, match="no state of the storage 'kahan'"):
            train(network, optimizer, 1)


def test_replicas_round_alike_whatever_else_they_draw():
    """As processes of DDP do, whose batches and dropout are their own; no two groups alike."""
    networks = [model(), model()]
    optimizers = [
        CompactAdamW([{"params": n[i].parameters()} for i in (0, 2)], lr=3e-3, storage="stochastic")
        for n in networks
    ]
    seeds = []
    for step in range(3):
        for network, optimizer in zip(networks, optimizers, strict=True):
            train(network, optimizer, 1, seed=step)
            if optimizer is optimizers[0]:
                torch.rand(3)
        seeds += [group["seed"] for group in optimizers[0].param_groups]
    assert len(set(seeds)) == len(seeds)
    for ours, theirs in zip(*(n.parameters() for n in networks), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loaded_state_brings_the_seed():
    """Also into a process that was started with another; the state of plain AdamW has none."""
    network = model()
    saved = CompactAdamW(network.parameters(), storage="stochastic")
    train(network, saved, 2)
    torch.manual_seed(11)
    other = CompactAdamW(network.parameters(), storage="stochastic")
    own, theirs = other.param_groups[0]["seed"], saved.param_groups[0]["seed"]
    assert own == 11 != theirs
    other.load_state_dict(saved.plain_state_dict())
    assert other.param_groups[0]["seed"] == own
    other.load_state_dict(saved.state_dict())
    assert other.param_groups[0]["seed"] == theirs


def test_another_storage_is_refused_at_the_load():
    """Its numbers would be read as something else."""
    network = model()
    saved = CompactAdamW(network.parameters(), storage="kahan").state_dict()
    with pytest.raises(CheckpointError, match="has storage 'kahan', this one is 'remainder'"):
        CompactAdamW(network.parameters(), storage="remainder").load_state_dict(saved)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_by_itself(copied):
    """With the same states, its own tensors and no address of the original."""
    network = model()
    optimizer = CompactAdamW(network.parameters(), lr=3e-3, fused=True, max_grad_norm=9.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, float)  # puts a `step` of its own over it
    train(network, optimizer, 2)
    for group in optimizer.param_groups:
        group["lr"] = 3e-3
    twin = copied(optimizer)
    assert twin._step_supports_amp_scaling and twin.max_grad_norm == 9.0
    before = [param.clone() for param in network.parameters()]
    for group in twin.param_groups:
        for param in group["params"]:
            param.grad = torch.ones_like(param)
    twin.step()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert not torch.equal(twin.param_groups[0]["params"][0], before[0])


def test_float32_parameters_among_others_keep_float32_states():
    """As norms that are kept in float32."""
    network = model()
    network[2].float()
    optimizer = CompactAdamW(network.parameters(), storage="kahan")
    for param in network.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert optimizer.state[network[2].weight].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert "compensation" in optimizer.state[network[0].weight]


def test_what_makes_no_sense_is_refused():
    """Values, and a storage for bfloat16 without such parameters."""
    with pytest.raises(InvalidValueError, match="no storage 'bits'"):
        CompactAdamW(model().parameters(), storage="bits")
    with pytest.raises(InvalidValueError, match=r"betas = .* is out of range"):
        CompactAdamW(model().parameters(), betas=(0.9, 1.0))
    wide = model(torch.float32)
    with pytest.raises(InvalidValueError, match="these are float32") as error:
        train(wide, CompactAdamW(wide.parameters(), storage="kahan"), 1)
    assert "bf16-true" in error.value.fix
    network = nn.ModuleList([model(), model(torch.float16)])
    optimizer = CompactAdamW(network.parameters(), storage="remainder")
    for param in network.parameters():
        param.grad = torch.ones_like(param)
    with pytest.raises(DtypeError, match=r"is torch.float16, the storage 'remainder' is for"):
        optimizer.step()


@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_a_sparse_gradient_is_refused_before_anything_changes(max_grad_norm):
    """In whatever group it is, and with other gradients beside it."""
    first, second = model(torch.float32), nn.Embedding(10, 4, sparse=True)
    groups = [{"params": first.parameters()}, {"params": second.parameters()}]
    optimizer = CompactAdamW(groups, max_grad_norm=max_grad_norm)
    for param in first.parameters():
        param.grad = torch.ones_like(param)
    before = copy.deepcopy(first.state_dict())
    second(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(DtypeError, match=r"is torch.sparse_coo, and every element takes a step"):
        optimizer.step()
    torch.testing.assert_close(first.state_dict(), before, rtol=0, atol=0)
    assert not optimizer.state


def test_a_group_of_an_unknown_storage_is_refused():
    """When it is added, as the optimizer's own is."""
    with pytest.raises(InvalidValueError, match="no storage '4bit'"):
        CompactAdamW([{"params": model().parameters(), "storage": "4bit"}])
    optimizer = CompactAdamW(model().parameters())
    with pytest.raises(InvalidValueError, match="no storage '4bit'"):
        optimizer.add_param_group({"params": model().parameters(), "storage": "4bit"})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": -1.0}, "lr = -1.0 is out of range"),
        ({"betas": (2, 3)}, r"betas = \(2, 3\) is out of range"),
        ({"betas": (0.9,)}, r"betas = \(0\.9,\) is no pair of numbers"),
        ({"betas": [0.9, 0.99, 0.999]}, r"betas = \[.* is no pair of numbers"),
        ({"betas": 0.9}, r"betas = 0\.9 is no pair of numbers"),
        ({"eps": -1e-8}, "eps = -1e-08 is out of range"),
        ({"weight_decay": -0.1}, "weight_decay = -0.1 is out of range"),
        ({"amsgrad": True}, "has no amsgrad"),
        ({"differentiable": True}, "has no differentiable"),
        ({"foreach": True}, "has no foreach"),
        ({"fused": True}, "has one fused for all groups, and a group sets fused = True"),
        ({"max_grad_norm": 1.0}, "has one max_grad_norm for all groups"),
        ({"ema_decay": 0.0}, "has one ema_decay for all groups"),
        ({"storag": "kahan"}, "has no option 'storag' of a group"),
    ],
)
def test_a_group_is_checked_as_the_optimizer_is(values, words):
    """In the constructor and when it is added, before anything changes."""
    with pytest.raises(InvalidValueError, match=words):
        CompactAdamW([{"params": model().parameters(), **values}])
    optimizer = CompactAdamW(model().parameters())
    with pytest.raises(InvalidValueError, match=words):
        optimizer.add_param_group({"params": model().parameters(), **values})
    assert len(optimizer.param_groups) == 1
    plain = {"amsgrad": False, "foreach": None, "fused": None, "initial_lr": 1e-3, "name": "last"}
    optimizer.add_param_group({"params": model().parameters(), **plain})


@each_storage
def test_a_state_of_amsgrad_is_refused(storage):
    """Its largest averages of squares would be dropped, and the steps be others."""
    plain = model(torch.float32)
    theirs = torch.optim.AdamW(plain.parameters(), amsgrad=True)
    train(plain, theirs, 2)
    optimizer = CompactAdamW(model().parameters(), storage=storage)
    with pytest.raises(CheckpointError, match="that of AMSGrad") as error:
        optimizer.load_state_dict(theirs.state_dict())
    assert "amsgrad: true" in error.value.fix and not optimizer.state


def test_values_of_a_group_that_was_removed():
    """Its parameters are the optimizer's no more, whatever is left of their states."""
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    optimizer = CompactAdamW([{"params": [param]} for param in params], storage="8bit")
    for param in params:
        param.grad = torch.ones(3)
    optimizer.step()
    optimizer.param_groups.pop(0)
    assert list(optimizer.plain_state_dict()["state"]) == [0]
    with pytest.raises(InvalidValueError, match=r"shape \(3,\) is no parameter"):
        optimizer.float32_values(params[0])
