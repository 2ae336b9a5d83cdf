"""Random calls of ``compact_adamw_``."""

import copy

import torch
from torch import Tensor

from dlplug import ops
from dlplug.ops._compact_rows import CompactRows
from dlplug.ops.fallback import adamw, philox
from dlplug.ops.fallback import compact_adamw as reference
from dlplug.optim import CompactAdamW
from dlplug.optim._averaging import KEY
from tests.fuzz.adamw import (
    FLUSHED,
    draw_average,
    draw_options,
    draw_weight,
    largest_of,
    largest_step,
    placed_like,
)
from tests.fuzz.call import Call, Results
from tests.fuzz.dice import Dice, Placed
from tests.fuzz.former import former_of, give, objects_of, turned, undone
from tests.fuzz.known import take_known_step
from tests.fuzz.running import num_threads
from tests.ops.adamw_cases import OPTIONS

NAME = "compact_adamw_"
NAMES = ("param", "m", "v")


def draw(dice: Dice) -> Call:
    """Lists of one to four parameters of any layout and age, in one storage."""
    storage = dice.choice(reference.STORAGES)
    dtypes = [torch.bfloat16, torch.float32]
    if storage not in reference.OF_BFLOAT16:
        dtypes.append(torch.float16)
    scale, factor = _draw_factors(dice)
    has_averages = dice.chance(0.4)
    is_known = scale == factor == 1.0 and dice.chance(0.7)
    weight = draw_weight(dice) if has_averages else 0.0
    params, grads, states, averages = [], [], [], []
    for _ in range(dice.randint(1, 4)):
        dtype = dice.choice(dtypes)
        shape = dice.shape(40_000 if dice.chance(0.05) else 2500)
        kind = dice.kind("special", "huge", "denormal", "tiny")
        params.append(dice.placed(dice.values(shape, dtype, kind), is_dense=True))
        grad = dice.values(shape, dtype, dice.kind("special", "huge"))
        if is_known:
            grads.append(placed_like(dice, grad, params[-1].tensor))
        else:
            grads.append(dice.placed(grad, may_expand=scale == 1.0))  # else it is written
        states.append(_state(dice, params[-1].tensor, storage))
        if has_averages:
            averages.append(draw_average(dice, params[-1].tensor))
    lists = (
        [x.tensor for x in params],
        [x.tensor for x in grads],
        [{name: x.tensor for name, x in state.items()} for state in states],
        [x.tensor for x in averages],
    )
    options, maximize = draw_options(dice), dice.chance(0.3)
    factors = dict(grad_scale=scale, grad_factor=factor, average_weight=weight)
    written = [*params, *(x for state in states for x in state.values()), *averages]
    written += grads if scale != 1.0 else []
    inputs = [*written, *(grads if scale == 1.0 else [])]
    by_chance = _rounded_by_chance(lists[0], storage)
    formers = [former_of(dice, param, dtypes) for param in lists[0]] if dice.chance(0.3) else None

    def run() -> Results:
        given, rows, seed = lists, CompactRows(), None
        if is_known:
            seed = int(philox.draw_seed()) if storage == "stochastic" else None
            moving = options | {"maximize": maximize, "storage": storage}
            if _run_as_known(lists, inputs, moving, weight, seed):
                return _results(lists, storage)
        if formers is not None:
            with undone(inputs):
                given = _after_another_step(lists, formers, storage, rows)
        ops.compact_adamw_(
            *given[:3],
            storage=storage,
            **options,
            maximize=maximize,
            averages=given[3],
            **factors,
            seed=seed,
            rows=rows,
        )
        return _results(lists, storage)

    def peers(index: int) -> list[Results]:
        torch.manual_seed(index)
        seed = philox.draw_seed() if storage == "stochastic" else torch.zeros((), dtype=torch.int64)
        found = []
        # The kernel rounds the quotients that it keeps, not those that its step takes.
        for is_wide in (False,) if scale == 1.0 else (False, True):
            params, grads, states, averages = copy.deepcopy(lists)
            taken = [x.float() for x in grads] if is_wide else grads
            reference.compact_adamw_(
                params, taken, states, storage, seed, *options.values(), maximize, scale, factor
            )
            adamw.move_averages(averages, params, weight)
            grads = [x.to(grad.dtype) for x, grad in zip(taken, grads, strict=True)]
            found.append(_results((params, grads, states, averages), storage))
        return found

    def oracle(_) -> Results:
        results = {}
        for i, (param, grad, state) in enumerate(zip(*lists[:3], strict=True)):
            dense, own = reference.side_by_side(param, state)
            theta, m, v = (x.double() for x in reference.read(dense, own, storage))
            results[f"grad {i}"] = grad.double() / scale
            grad = _in_memory_order(grad, dense).double() / scale * factor
            step = state["step"].clone()
            adamw.adamw_([theta], [grad], [m], [v], [], [step], *options.values(), maximize)
            for name, x in zip(NAMES, (theta, m, v), strict=True):
                results[f"{name} {i}"] = x
            results[f"step {i}"] = step
            if has_averages:
                theta = theta.as_strided(dense.shape, dense.stride())
                results[f"average {i}"] = lists[3][i].double().lerp(theta, weight)
        return results

    return Call(
        run=run,
        peers=peers,
        oracle=oracle,
        inputs=inputs,
        written=written,
        roundings=lambda _: _roundings(lists, storage, options),
        stored=by_chance | _stored(lists[0], storage),
        by_chance=by_chance,
        wrong=_wrong(lists, storage, options),
    )


def _run_as_known(
    lists, inputs: list[Placed], options: dict, weight: float, seed: int | None
) -> bool:
    """A step of CompactAdamW after one of the same tensors; whether it was taken as such."""
    params, grads, states, averages = lists
    params = objects_of(params)
    betas = options.pop("beta1"), options.pop("beta2")
    optimizer = CompactAdamW(params, betas=betas, **options)
    if seed is not None:
        optimizer.param_groups[0]["seed"] = seed
    optimizer.ema_decay = 1.0 - weight if averages else None
    for i, (param, state) in enumerate(zip(params, states, strict=True)):
        optimizer.state[param] = state | ({KEY: averages[i]} if averages else {})
    return take_known_step(optimizer, params, grads, inputs)


def _draw_factors(dice: Dice) -> tuple[float, float]:
    """What gradients are divided by, and what the step multiplies the quotients by.

    As scalers and clipping have them: less than 1 would enlarge what the kernel takes for 0.
    """
    scale = dice.choice((1.0, 1.0, 2.0 ** dice.randint(0, 14), dice.power(0, 3)))
    return scale, dice.choice((1.0, 1.0, 0.5, dice.random()))


def _after_another_step(lists, formers: list[Tensor | None], storage: str, rows: CompactRows):
    """The lists as objects that have been in a step of the former contents with these rows."""
    params, grads, states, averages = [], [], [], []
    for i, (param, _, state) in enumerate(zip(*lists[:3], strict=True)):
        is_turned = formers[i] is None
        former = turned(param) if is_turned else formers[i]
        params += objects_of([former])
        grads.append(torch.ones_like(former))
        old = reference.new_state(former, storage)
        if is_turned:
            old = {n: turned(x) if x.shape == param.shape else x for n, x in state.items()}
        states.append(dict(zip(old, objects_of(list(old.values())), strict=True)))
        if lists[3]:
            old = torch.zeros_like(former, dtype=torch.float32)
            averages += objects_of([turned(lists[3][i]) if is_turned else old])
    ops.compact_adamw_(
        params,
        grads,
        states,
        storage=storage,
        **OPTIONS,
        averages=averages,
        seed=1 if storage == "stochastic" else None,
        rows=rows,
    )
    give(params, lists[0])
    for objects, state in zip(states, lists[2], strict=True):
        for name, tensor in state.items():
            objects.setdefault(name, tensor).data = tensor
        for name in objects.keys() - state.keys():
            del objects[name]
    give(averages, lists[3])
    return params, lists[1], states, averages


def _state(dice: Dice, param: Tensor, storage: str) -> dict[str, Placed]:
    """What some steps may have left behind."""
    state = reference.new_state(param, storage)
    if dice.chance(0.7):
        state["step"].fill_(dice.choice((1, 10, dice.randint(1, 100_000))))
        flat = (param.numel(),)
        drawn = (dice.values(flat, torch.float32, dice.kind("special", "huge")) for _ in "mv")
        m, v = (x * dice.power(-3, 1) for x in drawn)
        theta = reference.read(param, state, storage)[0]
        if storage != "8bit":  # half a step of the parameter's own, in what it lacks
            theta = theta * (1 + torch.rand(flat, generator=dice.numbers) * 2**-9)
        theta = theta.to(param.dtype).float() if storage == "float32_states" else theta
        dense = torch.empty_like(param).copy_(param)
        reference.write(dense, state, storage, (theta, m, v.square()))
        param.copy_(dense)
    placed = {}
    for name, x in state.items():
        if x.shape == param.shape and name != "step":
            placed[name] = placed_like(dice, x, param)
        else:
            placed[name] = dice.placed(x, is_dense=True)
    return placed


def _in_memory_order(grad: Tensor, param: Tensor) -> Tensor:
    like = torch.empty_like(param, dtype=torch.float32).copy_(grad)
    return like.as_strided((like.numel(),), (1,))


def _results(lists, storage: str) -> Results:
    """What is stored, as the numbers that it stands for."""
    results = {}
    for i, (param, grad, state) in enumerate(zip(*lists[:3], strict=True)):
        with num_threads(1):  # the last place of PyTorch's powers depends on where threads begin
            values = reference.read(*reference.side_by_side(param, state), storage)
        results |= {f"{name} {i}": x for name, x in zip(NAMES, values, strict=True)}
        results[f"step {i}"] = state["step"].clone()
        results[f"grad {i}"] = grad.clone()
    results |= {f"average {i}": average.clone() for i, average in enumerate(lists[3])}
    return results


def _stored(params: list[Tensor], storage: str) -> dict[str, torch.dtype]:
    """Of the parameters that nothing is kept beside."""
    is_alone = storage not in ("remainder", "kahan")
    return {f"param {i}": param.dtype for i, param in enumerate(params) if is_alone}


def _rounded_by_chance(params: list[Tensor], storage: str) -> dict[str, torch.dtype]:
    """By result the dtype that it is rounded to."""
    return {
        f"{name} {i}": param.dtype
        for i, param in enumerate(params)
        if reference.storage_for(param, storage) == "stochastic"
        for name in NAMES
    }


def _roundings(lists, storage: str, options: dict[str, float]) -> dict[str, float]:
    """A step may cancel what a parameter was; states that are flushed are as good as 0."""
    eps, roundings = torch.finfo(torch.float32).eps, {}
    flushed = {"param": largest_step(FLUSHED, options), "m": FLUSHED, "v": FLUSHED}
    for i, (param, _, state) in enumerate(zip(*lists[:3], strict=True)):
        values = reference.read(*reference.side_by_side(param, state), storage)
        for name, x in zip(NAMES, values, strict=True):
            roundings[f"{name} {i}"] = largest_of(x) * eps + flushed[name]
        roundings[f"grad {i}"] = FLUSHED
    for i, average in enumerate(lists[3]):
        roundings[f"average {i}"] = largest_of(average) * eps + roundings[f"param {i}"]
    return roundings


def _wrong(lists, storage: str, options: dict[str, float]) -> dict:
    params, grads, states, _ = lists

    def call(*others, storage=storage):
        return lambda: ops.compact_adamw_(*others, storage=storage, **options)

    other = torch.ones(3, *params[0].shape)
    lacking = [{k: v for k, v in state.items() if k != "exp_avg"} for state in states]
    integers = [state | {"exp_avg": state["exp_avg"].to(torch.int64)} for state in states]
    calls = {
        "an unknown storage": call(*lists[:3], storage="4bit"),
        "a grad too few": call(params, grads[:-1], states),
        "a state too few": call(params, grads, states[:-1]),
        "a grad of another shape": call(params, [other] * len(params), states),
        "a grad of another dtype": call(params, [x.double() for x in grads], states),
        "a state without exp_avg": call(params, grads, lacking),
        "a state of integers": call(params, grads, integers),
        "parameters of float64": call([x.double() for x in params], grads, states),
        "parameters of integers": call([x.int() for x in params], grads, states),
    }
    return calls
