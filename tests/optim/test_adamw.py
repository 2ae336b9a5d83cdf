"""Tests of dlplug/optim/adamw.py: the same optimizer as ``torch.optim.AdamW``."""

import copy
import io
import pickle
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import dlplug.optim.adamw as module
from dlplug import ops
from dlplug.errors import BackendError
from dlplug.optim import FusedAdamW

SHAPES = [(7, 5), (5,), (), (0, 3), (2, 3, 4, 4)]
BOTH = [FusedAdamW, torch.optim.AdamW]


def make(optimizer, dtype=torch.float32, shapes=SHAPES, **options):
    """Parameters and an optimizer over them; equal for all optimizers."""
    numbers = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=numbers, dtype=torch.float64) for shape in shapes]
    params = [nn.Parameter(tensor.to(dtype)) for tensor in drawn]
    return params, optimizer(params, **{"lr": 0.05, **options})


def give_gradients(seed, *lists):
    """New gradients, equal in each list of parameters."""
    for params in lists:
        numbers = torch.Generator().manual_seed(seed)
        for param in params:
            drawn = torch.randn(param.shape, generator=numbers, dtype=torch.float64)
            param.grad = drawn.to(param.dtype)


def take_steps(*pairs, seeds=range(5)):
    for seed in seeds:
        give_gradients(seed, *(params for params, _ in pairs))
        for _, optimizer in pairs:
            optimizer.step()


def assert_equal_params(params, others, eps_factor=8):
    """Both round at each of a few steps, and differently: the tolerance is that many ulps of 1."""
    for a, b in zip(params, others, strict=True):
        tolerance = eps_factor * torch.finfo(a.dtype).eps
        torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)


@pytest.fixture
def calls(monkeypatch):
    """Which code updates parameters: ``kernel``, or PyTorch's with its foreach and fused flags."""
    seen = []

    def record(name, entry_of):
        function = getattr(module, name)

        def recording(*args, **kwargs):
            seen.append(entry_of(*args, **kwargs))
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, recording)

    record("update", lambda *args, **kwargs: "kernel")
    record("torch_adamw", lambda *args, **kwargs: (kwargs["foreach"], kwargs["fused"]))
    return seen


needs_kernels = pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")


OPTIONS = [
    {},
    {"amsgrad": True},
    {"maximize": True},
    {"weight_decay": 0.0},
    {"weight_decay": 0.3, "lr": 0.2},
    {"betas": (0.0, 0.0)},
    {"betas": (0.3, 0.5), "eps": 0.1, "amsgrad": True, "maximize": True},
    {"lr": 0.0},
    {"lr": torch.tensor(0.05)},
    {"lr": torch.tensor([0.05], dtype=torch.float64)},
    {"betas": (torch.tensor(0.9), torch.tensor(0.99))},
    {"foreach": True},
    {"foreach": False},
    {"fused": True},
    {"fused": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_steps_as_torch_does(options, dtype):
    """Every option leads to the parameters and states of ``torch.optim.AdamW``."""
    ours, theirs = make(FusedAdamW, dtype, **options), make(torch.optim.AdamW, dtype, **options)
    take_steps(ours, theirs)
    # PyTorch's loop takes the numbers of tensors in their precision, the kernels in double.
    tolerance = 2**-20 if dtype is torch.float32 or "tensor" in str(options) else 2**-47
    for param, other in zip(ours[0], theirs[0], strict=True):
        torch.testing.assert_close(param, other, rtol=tolerance, atol=tolerance)
        mine, expected = ours[1].state[param], theirs[1].state[other]
        assert list(mine) == list(expected)
        for name in mine:
            torch.testing.assert_close(mine[name], expected[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_steps_as_torchs_fused_kernel_does(dtype):
    """16-bit parameters keep 16-bit states, and are computed in float32."""
    ours, theirs = make(FusedAdamW, dtype), make(torch.optim.AdamW, dtype, fused=True)
    take_steps(ours, theirs)
    assert_equal_params(ours[0], theirs[0])


def test_it_is_torchs_optimizer():
    """Code that asks for AdamW or Adam gets it, and the defaults are PyTorch's."""
    _, ours = make(FusedAdamW)
    _, theirs = make(torch.optim.AdamW)
    assert isinstance(ours, torch.optim.AdamW)
    assert ours.defaults == theirs.defaults
    assert not getattr(ours, "_step_supports_amp_scaling", False)


@needs_kernels
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "kernel"),
        ({"fused": True}, "kernel"),
        ({"amsgrad": True, "maximize": True}, "kernel"),
        ({"lr": torch.tensor(0.1)}, "kernel"),
        ({"foreach": True}, (True, None)),
        ({"foreach": False}, (False, None)),
        ({"fused": False}, (None, False)),
        ({"differentiable": True}, (None, None)),
    ],
    ids=str,
)
def test_no_option_is_ignored(options, expected, calls):
    """Options that name an implementation get it; all others the kernel."""
    params, optimizer = make(FusedAdamW, **options)
    for param in params:
        param.requires_grad_(False)  # a differentiable step takes no leaves that require grad
    take_steps((params, optimizer), seeds=[0])
    assert calls == [expected]


def test_capturable_is_pytorchs():
    """PyTorch's code demands an accelerator, and says so."""
    with pytest.raises(AssertionError, match="If capturable=True, params and state_steps must be"):
        take_steps(make(FusedAdamW, capturable=True))


def test_differentiable_lets_gradients_through():
    """Autograd differentiates through the step, as through PyTorch's."""
    results = []
    for optimizer in BOTH:
        weight = torch.tensor([1.0, -2.0], requires_grad=True)
        param = weight.clone()
        stepper = optimizer([param], lr=0.1, differentiable=True)
        param.grad = torch.tensor([0.3, 0.7])
        stepper.step()
        param.square().sum().backward()
        results.append(weight.grad)
    assert torch.equal(*results)
    assert results[0].abs().min() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"eps": -1.0},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, -0.1)},
        {"weight_decay": -1.0},
        {"lr": torch.tensor([0.1, 0.2])},
        {"lr": torch.tensor(0.1), "foreach": True},
        {"fused": True, "foreach": True},
        {"fused": True, "differentiable": True},
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_pytorchs_words(options):
    """The same error as from ``torch.optim.AdamW``."""
    with pytest.raises((ValueError, RuntimeError)) as expected:
        make(torch.optim.AdamW, **options)
    with pytest.raises(type(expected.value)) as found:
        make(FusedAdamW, **options)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("after_a_step", [False, True])
def test_sparse_gradients_are_refused(after_a_step):
    """Clearly, at the first step and later."""
    params, optimizer = make(FusedAdamW, shapes=[(3,), (3,)])
    if after_a_step:
        take_steps((params, optimizer))
    params[0].grad = torch.ones(3)
    params[1].grad = torch.ones(3).to_sparse()
    before = params[0].detach().clone()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        optimizer.step()
    assert torch.equal(params[0].detach(), before)


# ---- state and checkpoints ----


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"fused": True}], ids=str)
def test_checkpoints_load_both_ways(first, second, options):
    """Training goes on from the other's checkpoint as from one's own."""
    params, optimizer = make(first, **options)
    take_steps((params, optimizer))
    file = io.BytesIO()
    torch.save({"params": params, "optimizer": optimizer.state_dict()}, file)
    take_steps((params, optimizer), seeds=range(5, 10))

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, other = make(second, **options)
    for param, value in zip(resumed, saved["params"], strict=True):
        param.data.copy_(value)
    other.load_state_dict(saved["optimizer"])
    take_steps((resumed, other), seeds=range(5, 10))
    assert_equal_params(resumed, params, 0 if first is second else 32)


def test_state_dicts_have_one_layout():
    """Keys, dtypes, shapes and groups do not tell which class wrote a checkpoint."""
    described = []
    for optimizer in BOTH:
        pair = make(optimizer, amsgrad=True)
        take_steps(pair)
        state = pair[1].state_dict()
        entries = {
            (i, name): (value.dtype, value.shape, value.stride())
            for i, values in state["state"].items()
            for name, value in values.items()
        }
        described.append((entries, state["param_groups"]))
    assert described[0] == described[1]


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))]
)
def test_copies_are_independent(duplicate):
    """A copied or pickled optimizer steps its own parameters, not the original's."""
    pair = make(FusedAdamW)
    take_steps(pair)
    twin = duplicate(pair)
    before = [param.detach().clone() for param in pair[0]]
    take_steps(twin, seeds=[7])
    assert all(torch.equal(param.detach(), old) for param, old in zip(pair[0], before, strict=True))
    take_steps(pair, seeds=[7])
    assert_equal_params(pair[0], twin[0], 0)


# ---- addresses: what changes between steps must never be written to where it was ----


def changes(params, optimizer):
    """Ways in which a tensor of a running optimizer gets another address or another meaning."""
    state = optimizer.state[params[0]]
    yield lambda: setattr(params[0], "data", params[0].data.clone())
    yield lambda: setattr(params[0], "data", params[0].data.T.contiguous().T)
    yield lambda: state.update(exp_avg=state["exp_avg"].clone())
    yield lambda: state.update(exp_avg_sq=state["exp_avg_sq"].T.contiguous().T)
    yield lambda: state.update(step=state["step"].clone())
    yield lambda: state["exp_avg"].set_(state["exp_avg"].clone())
    yield lambda: optimizer.state.pop(params[1])
    yield lambda: optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    yield lambda: torch.utils.swap_tensors(
        state["exp_avg_sq"], state["exp_avg_sq"].detach().clone()
    )
    yield lambda: optimizer.param_groups[0]["params"].pop(2)


@pytest.mark.parametrize("index", range(10))
def test_nothing_stale_is_used(index):
    """After any replacement the next steps are PyTorch's next steps."""
    ours, theirs = make(FusedAdamW), make(torch.optim.AdamW)
    take_steps(ours, theirs)
    for params, optimizer in (ours, theirs):
        list(changes(params, optimizer))[index]()
    take_steps(ours, theirs, seeds=range(5, 9))
    assert_equal_params(ours[0], theirs[0], 32)


def test_a_model_can_change_its_dtype():
    """After ``.bfloat16()`` and a reload, which casts the states, the kernel takes bfloat16."""
    model = nn.Linear(3, 4)
    optimizer = FusedAdamW(model.parameters())
    for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.float32):
        model.to(dtype)
        optimizer.load_state_dict(optimizer.state_dict())
        give_gradients(0, model.parameters())
        optimizer.step()
        for param in model.parameters():
            assert optimizer.state[param]["exp_avg"].dtype == dtype
            assert param.isfinite().all()


def test_states_of_another_dtype_are_refused_as_in_pytorch():
    """Without a reload the states keep their dtype, which PyTorch's code does not mix."""
    params, optimizer = make(FusedAdamW, shapes=[(3, 3)])
    take_steps((params, optimizer))
    params[0].data = params[0].data.bfloat16()
    give_gradients(0, params)
    with pytest.raises(RuntimeError, match="dtype"):
        optimizer.step()


# ---- parameters and gradients of all kinds ----


def test_parameters_without_gradients_are_left_alone():
    """Neither changed nor given a state; no gradient at all is no step."""
    params, optimizer = make(FusedAdamW)
    optimizer.step()
    assert not optimizer.state
    give_gradients(0, params)
    params[1].grad = None
    before = params[1].detach().clone()
    optimizer.step()
    assert torch.equal(params[1].detach(), before)
    assert params[1] not in optimizer.state


@needs_kernels
def test_a_group_of_all_kinds(calls):
    """Each parameter goes where it can; the result is PyTorch's."""
    kinds = [torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.float16]
    pairs = []
    for optimizer in BOTH:
        parts = [make(optimizer, dtype, shapes=[(6,), (2, 2)])[0] for dtype in kinds]
        params = [param for part in parts for param in part]
        params.append(nn.Parameter(torch.linspace(-1, 1, 10)[::2]))  # gaps in memory
        pairs.append((params, optimizer(params, lr=0.05, eps=1e-2)))
    take_steps(*pairs)
    assert set(calls) == {"kernel", (None, None)}
    for a, b in zip(pairs[0][0], pairs[1][0], strict=True):
        eps = torch.finfo(a.dtype).eps
        torch.testing.assert_close(a.detach(), b.detach(), rtol=32 * eps, atol=32 * eps)


@needs_kernels
def test_float64_takes_pytorchs_fused_kernel(calls):
    """The fastest code there is for it on the CPU."""
    take_steps(make(FusedAdamW, torch.float64), seeds=[0, 1])
    assert calls == [(None, True), (None, True)]


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("kind", ["transposed gradient", "gaps"])
def test_pytorchs_fused_kernel_is_not_given_what_it_misreads(fused, kind):
    """It takes memory in order whatever the strides; the step is right all the same."""
    results = []
    for optimizer in BOTH:
        weight = torch.linspace(-1, 1, 24, dtype=torch.float64).view(3, 8)
        param = nn.Parameter(weight[:, ::2] if kind == "gaps" else weight)
        param.grad = torch.linspace(0, 1, param.numel(), dtype=torch.float64).view(param.T.shape).T
        stepper = optimizer([param], **({"fused": fused} if optimizer is FusedAdamW else {}))
        stepper.step()
        results.append(param.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("to", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("grads", [torch.channels_last, torch.contiguous_format])
def test_memory_formats(to, grads):
    """States take a parameter's memory format; gradients may have another."""
    ours, theirs = (make(optimizer, shapes=[(2, 3, 4, 5)]) for optimizer in BOTH)
    for params, _ in (ours, theirs):
        params[0].data = params[0].data.to(memory_format=to)
    for seed in range(4):
        give_gradients(seed, ours[0], theirs[0])
        for params, optimizer in (ours, theirs):
            params[0].grad = params[0].grad.to(memory_format=grads)
            optimizer.step()
    assert_equal_params(ours[0], theirs[0])
    assert ours[1].state[ours[0][0]]["exp_avg"].stride() == ours[0][0].stride()


def test_a_parameter_that_is_listed_twice():
    """PyTorch warns, and steps it twice; so does this."""
    results = []
    for optimizer in BOTH:
        param = nn.Parameter(torch.ones(5))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            stepper = optimizer([param, param], lr=0.1)
        take_steps(([param], stepper))
        results.append(param.detach())
        assert stepper.state[param]["step"] == 10
    torch.testing.assert_close(*results)


def test_named_parameters_and_groups():
    """Groups with options of their own, and names, as in PyTorch."""
    results = []
    for optimizer in BOTH:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        stepper = optimizer(
            [
                {"params": model[0].named_parameters(), "lr": 0.3, "amsgrad": True},
                {"params": model[1].named_parameters(), "maximize": True, "foreach": True},
            ],
            lr=0.01,
            weight_decay=0.2,
        )
        take_steps((list(model.parameters()), stepper))
        added = nn.Parameter(torch.ones(3))
        stepper.add_param_group({"params": [("added", added)], "betas": (0.5, 0.6)})
        take_steps(([*model.parameters(), added], stepper))
        assert stepper.state_dict()["param_groups"][2]["param_names"] == ["added"]
        results.append([*model.parameters(), added])
    assert_equal_params(*results, 32)


def test_schedulers():
    """Schedules of the step size, and of the betas, take effect at each step."""
    results = []
    for optimizer in BOTH:
        params, stepper = make(optimizer)
        schedulers = [
            torch.optim.lr_scheduler.OneCycleLR(stepper, max_lr=0.3, total_steps=12),
            torch.optim.lr_scheduler.ExponentialLR(stepper, 0.9),
        ]
        for seed in range(10):
            take_steps((params, stepper), seeds=[seed])
            for scheduler in schedulers:
                scheduler.step()
        results.append(params)
    assert_equal_params(*results, 64)


def test_closures():
    """A closure is called once, with gradients enabled, and its loss is returned."""
    params, optimizer = make(FusedAdamW, shapes=[(3,)])

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = params[0].square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_the_gradient_mode_is_restored():
    """Also when a step fails."""
    params, optimizer = make(FusedAdamW, shapes=[(3,)])
    take_steps((params, optimizer))
    assert torch.is_grad_enabled()
    params[0].grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError):
        optimizer.step()
    assert torch.is_grad_enabled()


def test_hooks_and_the_profiler():
    """Hooks of the optimizer and of all optimizers run once; the profiler names the step."""
    pair = make(FusedAdamW)
    make(torch.optim.AdamW)  # whose class has hooks of its own
    seen = []
    handles = [
        pair[1].register_step_pre_hook(lambda *_: seen.append("pre")),
        pair[1].register_step_post_hook(lambda *_: seen.append("post")),
        register_optimizer_step_pre_hook(lambda *_: seen.append("all")),
    ]
    try:
        with torch.profiler.profile() as profile:
            take_steps(pair, seeds=[0])
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["all", "pre", "post"]
    assert "Optimizer.step#FusedAdamW.step" in {event.key for event in profile.key_averages()}


def test_autograd_notices_the_step():
    """Going back through a graph of before the step is an error, as with PyTorch's optimizer."""
    params, optimizer = make(FusedAdamW, shapes=[(3,)])
    loss = params[0].square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


KINDS_OF_GROUP = {
    "kernel": lambda: make(FusedAdamW),
    "fused torch": lambda: make(FusedAdamW, torch.float64),
    "mixed": lambda: mixed(FusedAdamW),
    "loop": lambda: make(FusedAdamW, foreach=False),
}


def mixed(optimizer, **options):
    """Parameters for the kernel, and one with gaps for PyTorch's loop."""
    params = make(optimizer)[0]
    params.append(nn.Parameter(torch.linspace(-1, 1, 10).view(5, 2)[:, 0]))
    return params, optimizer(params, **{"lr": 0.05, **options})


@pytest.mark.parametrize("kind", KINDS_OF_GROUP)
def test_gradients_are_not_held_after_the_step(kind):
    """Once set to None their memory is free, that of copies with other strides too."""
    params, optimizer = KINDS_OF_GROUP[kind]()
    for seed in range(2):  # the first step makes the states
        give_gradients(seed, params)
        params[0].grad = params[0].grad.T.contiguous().T
        optimizer.step()
    held = [weakref.ref(param.grad) for param in params]
    optimizer.zero_grad(set_to_none=True)
    assert not [ref for ref in held if ref() is not None]
    assert not [rows for rows in optimizer._rows.values() if rows._copies]


@needs_kernels
def test_gradients_are_not_held_after_a_step_that_failed():
    """An exception leaves as little behind."""
    params, optimizer = make(FusedAdamW, torch.float64)
    give_gradients(0, params)
    with ops.use_backend("cpu"):
        try:
            optimizer.step()
        except BackendError:
            failed = True
    assert failed
    held = [weakref.ref(param.grad) for param in params]
    optimizer.zero_grad(set_to_none=True)
    assert not [ref for ref in held if ref() is not None]


# ---- GradScaler ----


@pytest.mark.parametrize(
    ("options", "dtype"),
    [({}, torch.float32), ({"fused": True}, torch.float32), ({"fused": True}, torch.float16)],
    ids=str,
)
def test_grad_scaler(options, dtype):
    """Gradients are unscaled, steps with infinite ones skipped, and counted as PyTorch counts."""
    pairs = [make(FusedAdamW, dtype, **options), make(torch.optim.AdamW, dtype, fused=True)]
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3) for _ in pairs]
    for seed in range(8):
        give_gradients(seed, *(params for params, _ in pairs))
        for (params, optimizer), scaler in zip(pairs, scalers, strict=True):
            scaler.scale(torch.ones(()))
            for param in params:
                param.grad.mul_(scaler.get_scale()).div_(64)
            if seed in (0, 4):
                params[0].grad[0] = torch.inf
            scaler.step(optimizer)
            scaler.update()
    assert scalers[0].get_scale() == scalers[1].get_scale() == 2.0**10  # halved, doubled, twice
    assert_equal_params(pairs[0][0], pairs[1][0], 32)
    for param, other in zip(pairs[0][0], pairs[1][0], strict=True):
        assert pairs[0][1].state[param]["step"] == pairs[1][1].state[other]["step"] == 6
        torch.testing.assert_close(param.grad, other.grad)


def test_grad_scaler_with_gradients_that_are_copied():
    """Gradients that lie otherwise than their parameters are unscaled in place, too."""
    params, optimizer = make(FusedAdamW, shapes=[(3, 4)], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    params[0].grad = torch.full((4, 3), 16.0).T
    scaler.step(optimizer)
    assert torch.equal(params[0].grad, torch.full((3, 4), 2.0))


@pytest.mark.parametrize("is_unscaled", [False, True])
@pytest.mark.parametrize(
    ("kind", "backend"),
    [(make, "reference"), (mixed, "auto"), (mixed, "reference")],
    ids=["reference", "gaps", "gaps, reference"],
)
def test_grad_scaler_where_the_loop_steps(kind, backend, is_unscaled):
    """PyTorch's loop knows no scaler; the step unscales and skips for it, all groups alike."""
    ours, theirs = kind(FusedAdamW, fused=True), kind(torch.optim.AdamW)
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3) for _ in range(2)]
    for seed in range(8):
        give_gradients(seed, ours[0], theirs[0])
        for (params, optimizer), scaler in zip((ours, theirs), scalers, strict=True):
            scaler.scale(torch.ones(()))
            for param in params:
                param.grad.mul_(scaler.get_scale()).div_(64)
            if seed in (0, 4):
                params[0].grad[0] = torch.inf
            if is_unscaled:
                scaler.unscale_(optimizer)
            with ops.use_backend(backend):
                scaler.step(optimizer)
            scaler.update()
    assert scalers[0].get_scale() == scalers[1].get_scale()
    assert_equal_params(ours[0], theirs[0], 32)
    for param, other in zip(ours[0], theirs[0], strict=True):
        assert ours[1].state[param]["step"] == theirs[1].state[other]["step"] == 6
        torch.testing.assert_close(param.grad, other.grad)


def test_grad_scaler_with_a_scale_beyond_float16():
    """The usual scale of 65,536 is an infinity in float16, but the quotient is not 0."""
    params, optimizer = make(FusedAdamW, torch.float16, shapes=[(4,)], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    scaler.scale(torch.ones(()))
    params[0].grad = torch.full((4,), 1024.0, dtype=torch.float16)
    with ops.use_backend("reference"):
        scaler.step(optimizer)
    assert torch.equal(params[0].grad, torch.full((4,), 2.0**-6, dtype=torch.float16))


def test_grad_scaler_with_a_parameter_that_is_listed_twice():
    """It steps twice, but its gradient is divided once."""
    param = nn.Parameter(torch.ones(5))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = FusedAdamW([param, param], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    param.grad = torch.full((5,), 16.0)
    scaler.step(optimizer)
    assert torch.equal(param.grad, torch.full((5,), 2.0))


# ---- backends, compiling ----


def test_the_reference_backend(calls):
    """Under ``reference`` PyTorch's loop runs."""
    with ops.use_backend("reference"):
        take_steps(make(FusedAdamW), seeds=[0])
    assert calls == [(False, False)]


@needs_kernels
def test_a_backend_that_was_asked_for_is_not_replaced():
    """Under ``cpu`` a parameter that the kernel does not take is an error that says which."""
    with ops.use_backend("cpu"):
        take_steps(make(FusedAdamW))
        with pytest.raises(BackendError, match=r"parameter 0: torch\.float64 is not float32"):
            take_steps(make(FusedAdamW, torch.float64))


@pytest.fixture
def compiler():
    """A fresh compiler, without its notes on profiler ranges and TorchScript."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Profiler record function", UserWarning)
        # torch.utils.mkldnn, which the compiler imports, is still written in TorchScript.
        warnings.filterwarnings("ignore", "`torch.jit.script_method` is dep", DeprecationWarning)
        yield


@needs_kernels
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"lr": torch.tensor(0.05)}], ids=str)
def test_a_compiled_step_is_one_op(options, compiler):
    """The whole step is a full graph with the op in it; schedules do not compile it again."""
    graphs = []

    def capture(graph, _):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph

    ours, theirs = make(FusedAdamW, **options), make(FusedAdamW, **options)
    compiled = torch.compile(lambda: ours[1].step(), fullgraph=True, backend=capture)
    for seed in range(12):
        give_gradients(seed, ours[0], theirs[0])
        for _, optimizer in (ours, theirs):
            group = optimizer.param_groups[0]
            group["lr"] = group["lr"] * 0.9
            group["betas"] = (0.9 - seed / 100, 0.99)
        compiled()
        theirs[1].step()
    assert len(graphs) <= 2  # with constants first, then with numbers that change
    assert all(graph.count("dlplug.adamw_.default") == 1 for graph in graphs)
    assert_equal_params(ours[0], theirs[0], 0)


def test_a_compiled_step_of_what_the_kernel_refuses(compiler):
    """PyTorch's code is traced instead."""
    # No scalar: torch 2.13 compiles the step of its own AdamW wrongly for one in float64.
    ours, theirs = (make(cls, torch.float64, shapes=[(7, 5), (5,)]) for cls in BOTH)
    compiled = torch.compile(lambda: ours[1].step(), fullgraph=True, backend="aot_eager")
    for seed in range(3):
        give_gradients(seed, ours[0], theirs[0])
        compiled()
        theirs[1].step()
    for param, other in zip(ours[0], theirs[0], strict=True):
        # In a graph PyTorch computes the bias corrections from the step, a float32.
        torch.testing.assert_close(param, other, rtol=2**-20, atol=2**-20)
