"""Random calls of ``adamw_``."""

import torch
from torch import Tensor

from dlplug import ops
from dlplug.ops._adamw_kernels import update
from dlplug.ops._adamw_rows import Rows
from dlplug.ops._averages import average_dtype
from dlplug.ops.adamw import OP
from dlplug.ops.fallback.adamw import move_averages
from dlplug.optim import FusedAdamW
from dlplug.optim._averaging import KEY
from tests.fuzz.call import Call, Results
from tests.fuzz.dice import DTYPES, Dice, Placed, placed_with
from tests.fuzz.former import former_of, give, objects_of, turned, undone
from tests.fuzz.known import take_known_step
from tests.ops.adamw_cases import OPTIONS, Lists, copy_of, run_fused_torch, run_reference

NAME = "adamw_"
NAMES = ("param", "grad", "m", "v", "u")
# The kernel makes states below the smallest normal number of float32 0.
FLUSHED = torch.finfo(torch.float32).tiny


def draw(dice: Dice) -> Call:
    """Lists of none to five parameters of any dtypes, layouts and ages, before any step."""
    dtype, is_mixed, amsgrad = dice.choice(DTYPES), dice.chance(0.3), dice.chance(0.4)
    has_averages, is_known = dice.chance(0.4), dice.chance(0.3)
    weight = draw_weight(dice) if has_averages else 0.0
    if dice.chance(0.03):
        dtype = torch.float64
    placed: list[list[Placed]] = [[], [], [], [], [], []]
    averages: list[Placed] = []
    for _ in range(dice.randint(0, 5)):
        row = _row(dice, dice.choice(DTYPES) if is_mixed else dtype, amsgrad, is_known)
        for kind, x in zip(placed, row, strict=True):
            kind.extend([] if x is None else [x])
        if has_averages:
            averages.append(draw_average(dice, row[0].tensor))
    lists = [[x.tensor for x in kind] for kind in placed]
    options = draw_options(dice)
    maximize = dice.chance(0.3)
    written = [x for i, kind in enumerate(placed) if i != 1 for x in kind] + averages
    inputs = [x for kind in placed for x in kind] + averages
    averaged = [x.tensor for x in averages]
    former = None
    if lists[0] and not is_known and dice.chance(0.4):
        former = [former_of(dice, param, DTYPES) for param in lists[0]]
    # How many parameters are in the first group of an optimizer that knows them.
    first = dice.randint(1, len(lists[0])) if lists[0] and is_known else 0

    def run() -> Results:
        if first and _run_as_known(
            [*lists, averaged], first, inputs, options | {"maximize": maximize}, weight
        ):
            return _results(lists, averaged)
        moving = dict(averages=averaged, average_weight=weight)
        if former is None or not _run_after_another_step(
            [*lists, averaged], former, inputs, (*options.values(), maximize), weight
        ):
            ops.adamw_(*lists, **options, maximize=maximize, **moving)
        return _results(lists, averaged)

    def with_averages(others: Lists) -> Results:
        own = [x.to(torch.promote_types(x.dtype, others[0][0].dtype), copy=True) for x in averaged]
        move_averages(own, others[0], weight)
        return _results(others, own)

    def peers(_) -> list[Results]:
        loop, fused = copy_of(lists), copy_of(lists)
        run_reference(loop, maximize, **options)
        if lists[0]:
            contiguous = [[x.contiguous() for x in kind] for kind in fused]
            run_fused_torch(contiguous, maximize, **options)
            fused = contiguous
        return [with_averages(loop), with_averages(fused)]

    def oracle(_) -> Results:
        wide = copy_of(lists, torch.float64)
        run_reference(wide, maximize, **options)
        return with_averages(wide)

    return Call(
        run=run,
        peers=peers,
        oracle=oracle,
        inputs=inputs,
        written=written,
        roundings=lambda _: _roundings(lists, averaged, options),
        wrong=_wrong(lists, options),
    )


def draw_options(dice: Dice) -> dict[str, float]:
    """In the order of ``adamw_``."""
    return {
        "lr": dice.power(-5, 0),
        "beta1": dice.choice((0.0, 0.9, 0.95, dice.random())),
        "beta2": dice.choice((0.0, 0.95, 0.999, dice.random())),
        "eps": dice.power(-10, -4),
        "weight_decay": dice.choice((0.0, 0.01, 0.1, dice.random())),
    }


def draw_average(dice: Dice, param: Tensor) -> Placed:
    """What some steps may have left behind, near the parameter or not."""
    dtype = average_dtype(param)
    values = dice.values(tuple(param.shape), dtype, dice.kind("special", "huge"))
    return placed_like(dice, values + param * dice.choice((0, 1)), param)


def draw_weight(dice: Dice) -> float:
    """Of the new parameter in its average."""
    return dice.choice((0.0, 0.001, 0.1, 0.9, 1.0, dice.random()))


def _run_after_another_step(
    lists: Lists, formers: list[Tensor | None], inputs: list[Placed], options: tuple, weight: float
) -> bool:
    """A step with rows that were kept from one of other contents; whether the kernel took it."""
    params, grads, *states, steps, averages = lists
    rows, old = Rows(), [[] for _ in lists]
    for i, former in enumerate(formers):
        param = turned(params[i]) if former is None else former
        for kind, own in zip(lists, old, strict=True):
            if kind and kind is steps:
                own.append(torch.zeros(()))
            elif kind and former is None:
                own.append(turned(kind[i]))
            elif kind:
                own.append(torch.zeros_like(param))
        if averages:
            old[-1][-1] = old[-1][-1].to(average_dtype(param))
        old[0][-1] = param
    old[1] = [torch.ones_like(param) for param in old[0]]
    objects = [objects_of(kind) for kind in old]
    with undone(inputs):
        params, grads, *states, steps, averages = objects
        rows.fill(params, grads, *states, steps, averages)
        if OP.route(params[0], rows) == "native":
            update(rows, *OPTIONS.values(), False, average_weight=0.5)
        rows.release()
    for kind, contents in zip(objects, lists, strict=True):
        give(kind, contents)
    rows.fill(*objects)
    is_native = OP.route(params[0], rows) == "native"
    if is_native:
        update(rows, *options, average_weight=weight)
    return is_native


def _run_as_known(
    lists: Lists, first: int, inputs: list[Placed], options: dict, weight: float
) -> bool:
    """A step of FusedAdamW after one of the same tensors; whether it was taken as such."""
    params, grads, m, v, u, steps, averages = lists
    params = objects_of(params)
    betas = options.pop("beta1"), options.pop("beta2")
    groups = [{"params": part} for part in (params[:first], params[first:]) if part]
    optimizer = FusedAdamW(groups, betas=betas, amsgrad=bool(u), **options)
    optimizer.ema_decay = 1.0 - weight if averages else None
    columns = {"step": steps, "exp_avg": m, "exp_avg_sq": v, "max_exp_avg_sq": u, KEY: averages}
    for i, param in enumerate(params):
        optimizer.state[param] = {name: kind[i] for name, kind in columns.items() if kind}
    return take_known_step(optimizer, params, grads, inputs)


def _row(dice: Dice, dtype: torch.dtype, amsgrad: bool, is_beside: bool) -> list[Placed | None]:
    """Parameter, gradient, m, v, u and step; states, or all, lie as the parameter does."""
    shape = dice.shape(60_000 if dice.chance(0.05) else 3000)
    kind = dice.kind("huge")
    param = dice.placed(dice.values(shape, dtype, dice.kind("special", "huge")), is_dense=True)
    age = dice.choice((0, 0, 1, 10, 1000, dice.randint(1, 100_000)))
    scale = 0.0 if age == 0 else 1.0
    like = (dice.values(shape, dtype, dice.kind("special", "huge")) * scale for _ in range(3))
    m, v, u = (x if i == 0 else x.square() for i, x in enumerate(like))
    states = [placed_like(dice, x, param.tensor) for x in (m, v, u)]
    if not amsgrad:
        states[2] = None
    step = dice.placed(torch.tensor(float(age)))
    grad = dice.values(shape, dtype, kind)
    grad = placed_like(dice, grad, param.tensor) if is_beside else dice.placed(grad)
    return [param, grad, *states, step]


def placed_like(dice: Dice, x: Tensor, param: Tensor) -> Placed:
    """Values in memory of their own, in the order that the parameter's have."""
    if dice.chance(0.04):  # which no kernel takes
        return dice.placed(x, may_expand=False)
    return placed_with(x, param.stride(), x.numel(), dice.randint(0, 5))


def _results(lists: Lists, averages: list[Tensor]) -> Results:
    """Everything that was written, by row."""
    results = {}
    for name, kind in zip((*NAMES, "step"), lists, strict=True):
        if name != "grad":
            results |= {f"{name} {i}": x.clone() for i, x in enumerate(kind)}
    return results | {f"average {i}": x.clone() for i, x in enumerate(averages)}


def _roundings(lists: Lists, averages: list[Tensor], options: dict[str, float]) -> dict[str, float]:
    """A step may cancel what a parameter was; states that are flushed are as good as 0."""
    flushed = {name: FLUSHED for name in NAMES} | {"param": largest_step(FLUSHED, options)}
    roundings = {
        f"{name} {i}": largest_of(x) * torch.finfo(x.dtype).eps + flushed[name]
        for name, kind in zip(NAMES, lists[:5], strict=True)
        for i, x in enumerate(kind)
    }
    for i, x in enumerate(averages):
        own = largest_of(x) * torch.finfo(x.dtype).eps
        roundings[f"average {i}"] = own + roundings[f"param {i}"]
    return roundings


def largest_step(m: float, options: dict[str, float]) -> float:
    """By which an average of the gradients moves a parameter at most."""
    return m * (1 + options["lr"] / (1 - options["beta1"]) / options["eps"])


def largest_of(x: Tensor) -> float:
    """The largest finite number."""
    finite = x[x.isfinite()].abs()
    return finite.max().item() if finite.numel() else 0.0


def _wrong(lists: Lists, options: dict[str, float]) -> dict:
    def changed(which: int, change):
        def call():
            others = [list(kind) for kind in lists]
            others[which] = change(others[which])
            ops.adamw_(*others, **options)

        return call

    calls = {}
    if lists[0]:
        other = torch.float64 if lists[0][0].dtype != torch.float64 else torch.float32
        for which, name in enumerate((*NAMES[:4], "u", "step")):
            if which == 4 and not lists[4]:
                continue
            if which:
                calls[f"a {name} too few"] = changed(which, lambda kind: kind[:-1])
            calls[f"a {name} too many"] = changed(which, lambda kind: [*kind, kind[0]])
            calls[f"{name} of integers"] = changed(which, lambda kind: [x.int() for x in kind])
            calls[f"{name} of another shape"] = changed(
                which, lambda kind: [*kind[:-1], torch.ones(2, *kind[-1].shape)]
            )
            if which not in (0, 5):
                calls[f"{name} of another dtype"] = changed(
                    which, lambda kind: [*kind[:-1], kind[-1].to(other)]
                )
    if len(lists[0]) == 1 and lists[4]:
        del calls["a u too few"]  # no list of them is no AMSGrad
    return calls
