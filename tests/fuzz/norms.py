"""Random calls of the four norm ops."""

import math
from types import SimpleNamespace

import torch
from torch import Tensor

from dlplug.ops.fallback import layer_norm as layer_norm_reference
from dlplug.ops.fallback import philox, residual, rms_norm
from tests.fuzz.adamw import largest_of
from tests.fuzz.call import Call, Results, outputs_and_gradients
from tests.fuzz.dice import DTYPES, Dice
from tests.ops.norm_cases import ADD_LAYER_NORM, ADD_RMS_NORM, LAYER_NORM, RMS_NORM, Norm

LARGEST = 4000  # elements of most calls
HUGE = 100_000  # of a few, which several threads share


def draw(norm: Norm, dice: Dice) -> Call:
    """Any shapes, strides, dtypes, values, and any arguments that may be missing."""
    shape = (*dice.shape(HUGE if dice.chance(0.02) else LARGEST, axes=3), _width(dice))
    while math.prod(shape) > HUGE:
        shape = (*(n // 2 for n in shape[:-1]), shape[-1])
    dtype, stream = _dtypes(norm, dice)
    kind = dice.kind()
    tensors = {"x": dice.placed(dice.values(shape, dtype, kind))}
    if norm.has_residual:
        other = kind if dice.chance(0.5) else "normal"
        tensors["residual"] = dice.placed(dice.values(shape, stream, other))
    rows = torch.float32 if stream.itemsize == 2 and dice.chance(0.3) else stream
    for name in ("weight", "bias") if norm.has_bias else ("weight",):
        if dice.chance(0.8):
            tensors[name] = dice.placed(dice.values(shape[-1:], rows, dice.kind("special", "huge")))
    dropout_p = 0.0
    if norm.has_residual and dice.chance(0.4):
        dropout_p = dice.choice((1e-11, 0.1, 0.5, 0.9, 1.0, dice.random()))
    needed = {name for name in tensors if dice.chance(0.6)}
    grads = [dice.placed(dice.values(shape, stream)) for _ in range(1 + norm.has_residual)]
    if norm.has_residual and dice.chance(0.2):
        grads[dice.choice((0, 1))] = None
        needed &= {"x", "residual"}
    return _call(norm, tensors, grads, needed, dice.power(-12, -1), dropout_p)


def _width(dice: Dice) -> int:
    return dice.randint(300, 5000) if dice.chance(0.02) else dice.size()


def _dtypes(norm: Norm, dice: Dice) -> tuple[torch.dtype, torch.dtype]:
    """Of x and of the residual stream."""
    if dice.chance(0.03):
        return torch.float64, torch.float64
    dtype = dice.choice(DTYPES)
    if norm.has_residual and dice.chance(0.3):
        return dtype, torch.float32
    return dtype, dtype


def _call(norm, tensors, grads, needed, eps, dropout_p) -> Call:
    views = {name: x.tensor for name, x in tensors.items()}
    outer = tuple(None if x is None else x.tensor for x in grads)
    extra = {"dropout_p": dropout_p} if norm.has_residual else {}

    def results(function, dtype=None, **options) -> Results:
        def call(**tensors):
            return function(**tensors, eps=eps, **options)

        return outputs_and_gradients(call, views, outer, needed, dtype)

    def seeded(index: int) -> dict:
        torch.manual_seed(index)
        return extra | ({"seed": philox.draw_seed()} if dropout_p else {})

    def peers(index: int) -> list[Results]:
        found = [results(norm.reference, **seeded(index))]
        dtypes = {x.dtype for x in views.values()}
        # Of mixed dtypes PyTorch's own RMSNorm warns, and LayerNorm wants a weight.
        is_taken = len(dtypes) == 1 or (norm.has_bias and "weight" in views)
        if dropout_p == 0 and is_taken:
            found.append(results(norm.torch))
        return found

    def changed(**others):
        return lambda: norm.ours(**{**views, "eps": eps, **extra, **others})

    return Call(
        run=lambda: results(norm.ours, **extra),
        peers=peers,
        oracle=lambda index: results(norm.reference, torch.float64, **seeded(index)),
        inputs=[*tensors.values(), *(x for x in grads if x is not None)],
        roundings=lambda index: _roundings(norm, views, outer, eps, seeded(index)),
        wrong=_wrong(norm, views, changed),
    )


def _roundings(norm: Norm, views: dict[str, Tensor], grads, eps: float, extra: dict):
    """In float32, whatever the dtype; a row far from 0 or of equal numbers enlarges them."""
    h = views["x"].double()
    if norm.has_residual:
        seed = extra.get("seed")
        h = residual.add(h, views["residual"].double(), extra["dropout_p"], seed)
    if norm.has_bias:
        mean, rstd = layer_norm_reference.statistics(h, eps)
    else:
        mean, rstd = torch.zeros(()), rms_norm.statistics(h, eps)
    xhat = (h.abs() + mean.abs()) * rstd
    weight = views.get("weight", torch.ones(())).double()
    grad = torch.zeros_like(h) if grads[0] is None else grads[0].double()
    terms_of = {
        "output 0": (xhat * weight, views.get("bias", torch.zeros(()))),
        "gradient of weight": (grad * xhat, _half_sums(grad * xhat)),
        "gradient of bias": (grad, _half_sums(grad)),
    }
    of_h = (rstd * xhat.clamp(min=1) * (grad * weight).abs().amax() if h.numel() else h,)
    scale = 1.0
    if norm.has_residual:
        of_h = of_h if grads[1] is None else (*of_h, grads[1])
        p = extra["dropout_p"]
        scale = 1 / (1 - p) if p < 1 else 0.0
        terms_of["gradient of residual"] = of_h
    terms_of["gradient of x"] = of_h if scale == 1 else tuple(x * scale for x in of_h)
    float32 = torch.finfo(torch.float32).eps
    return {name: float32 * max(map(largest_of, terms)) for name, terms in terms_of.items()}


def _half_sums(terms: Tensor) -> Tensor:
    """Half the sum of the magnitudes of each column's terms.

    Times eps it is half a unit in the last place of every term: the error of a sum whose terms were
    rounded once each and then added exactly. In float32 no order of additions can be held to less:
    after n of them the bound is n roundings of this sum, of pairs log2(n) (Higham 2002, Accuracy
    and Stability of Numerical Algorithms, section 4.2). Where the terms cancel, it is far above a
    rounding of the result, and of any one term.
    """
    magnitudes = terms.abs().unsqueeze(0)
    return magnitudes.sum(tuple(range(terms.dim()))) / 2


def _wrong(norm: Norm, views: dict[str, Tensor], changed) -> dict:
    x = views["x"]
    calls = {
        "x without an axis": changed(x=torch.ones((), dtype=x.dtype)),
        "x of integers": changed(x=torch.ones(x.shape, dtype=torch.int32)),
        "weight too long": changed(weight=torch.ones(x.shape[-1] + 1, dtype=x.dtype)),
        "weight of two axes": changed(weight=torch.ones(1, x.shape[-1], dtype=x.dtype)),
        "weight of integers": changed(weight=torch.ones(x.shape[-1], dtype=torch.int64)),
        "weight of float64": changed(weight=torch.ones(x.shape[-1], dtype=torch.float64)),
    }
    if x.dtype == torch.float64:
        del calls["weight of float64"]
    if norm.has_bias:
        wide = torch.ones(x.shape[-1])
        calls["bias too long"] = changed(bias=torch.ones(x.shape[-1] + 2, dtype=x.dtype))
        calls["bias of another dtype"] = changed(weight=wide, bias=wide.half())
    if norm.has_residual:
        calls["residual of another shape"] = changed(residual=torch.ones(*x.shape, 1))
        calls["residual too short"] = changed(residual=torch.ones(x.shape[-1] + 1))
        for p in (-0.5, 1.5, math.nan):
            calls[f"dropout_p of {p}"] = changed(dropout_p=p)
    return calls


def _family(name: str, norm: Norm) -> SimpleNamespace:
    return SimpleNamespace(NAME=name, draw=lambda dice: draw(norm, dice))


FAMILIES = [
    _family(str(norm), norm) for norm in (LAYER_NORM, RMS_NORM, ADD_LAYER_NORM, ADD_RMS_NORM)
]
