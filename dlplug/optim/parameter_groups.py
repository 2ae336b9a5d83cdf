"""Which parameters are decayed, and at which rate they learn."""

import math
from collections.abc import Callable, Iterable, Iterator

from torch import nn

from dlplug.errors import InvalidValueError

# Their tables and scales are not decayed whatever their number of dimensions.
_UNDECAYED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)


def weight_decay_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Split a module's parameters into those that are decayed and those that are not.

    Matrices and tensors of more dimensions are decayed. Vectors and scalars (biases, scales of
    norms), the tables of embeddings and norms over several axes are not: pulling them to 0 does
    not shrink the function that the network computes. An embedding's table that is also the
    weight of another layer (tied to the output) counts as an embedding.

    Args:
        module: Each of its parameters is taken once, shared and frozen ones too, in the order of
            ``module.parameters()``.
        weight_decay: Decay of the first group, >= 0, as in ``torch.optim.AdamW``.
    Returns:
        Groups for an optimizer, ``{"params": [...], "weight_decay": weight_decay}`` and
        ``{"params": [...], "weight_decay": 0.0}``; one without parameters is left out.
    Raises:
        InvalidValueError: ``weight_decay`` is negative or not finite.
    """
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise InvalidValueError(
            f"weight_decay is {weight_decay!r}",
            where="weight_decay_groups()",
            known="a number >= 0",
        )
    undecayed = {id(parameter) for parameter in _undecayed_parameters(module)}
    decayed, kept = [], []
    for parameter in module.parameters():
        is_decayed = parameter.ndim >= 2 and id(parameter) not in undecayed
        (decayed if is_decayed else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _undecayed_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    for part in module.modules():
        if isinstance(part, _UNDECAYED):
            # `parameters()` and not `weight`: a parametrised weight is computed, and the
            # parameters that it is computed from belong to the part's children.
            yield from part.parameters()


def scaled_groups(
    groups: Iterable[dict], lr: float, scale: Callable[[nn.Parameter], float]
) -> list[dict]:
    """Split groups further, so that each has parameters of one learning rate only.

    Args:
        groups: For an optimizer; one without an ``lr`` has the optimizer's.
        lr: Of the optimizer.
        scale: Factor of the learning rate of a parameter.
    Returns:
        Groups with the entries of theirs and an ``lr``; those with the smallest factor first, where
        they come from the same group.
    """
    split = []
    for group in groups:
        parts: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            parts.setdefault(scale(parameter), []).append(parameter)
        base = group.get("lr", lr)
        split += [group | {"params": parts[f], "lr": base * f} for f in sorted(parts)]
    return split
