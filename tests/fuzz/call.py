"""One random call of an op, and what each way to compute it gives."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tests.fuzz.dice import Placed

Results = dict[str, Tensor]


@dataclass(frozen=True)
class Call:
    """A call, to be repeated any number of times.

    Attributes:
        run: The public op on the placed tensors, under the backend that is selected.
        peers: The same results in the same dtypes from plain PyTorch or the fallback, one a way;
            given what torch.manual_seed was given for ``run``, as are the next two.
        oracle: The same from the fallback in float64.
        inputs: All tensors that it is given.
        written: Those of them that the op changes.
        leaks: By result where NaN or infinity may be as well, though it does not belong there.
        roundings: By result one rounding of the largest term of the sums that it is made of, in
            the dtype that they are added in: terms may cancel.
        stored: By result the dtype that it is stored in, where that is not its own; it has no
            more than the range of that one.
        by_chance: Results that chance rounds to either neighbour in ``stored``: both are right.
        wrong: Calls that differ from this one in what no backend accepts.
    """

    run: Callable[[], Results]
    peers: Callable[[int], list[Results]]
    oracle: Callable[[int], Results]
    inputs: list[Placed]
    written: list[Placed] = field(default_factory=list)
    leaks: Callable[[int], Mapping[str, Tensor]] = lambda _: {}
    roundings: Callable[[int], Mapping[str, float]] = lambda _: {}
    stored: Mapping[str, torch.dtype] = field(default_factory=dict)
    by_chance: Collection[str] = ()
    wrong: Mapping[str, Callable[[], object]] = field(default_factory=dict)


def outputs_and_gradients(
    function: Callable[..., Tensor | tuple[Tensor, ...]],
    tensors: Mapping[str, Tensor | None],
    grads: tuple[Tensor | None, ...],
    needed: set[str],
    dtype: torch.dtype | None = None,
) -> Results:
    """Every output, and the gradients of the tensors that are needed.

    Args:
        function: Called with the tensors by name.
        tensors: Of any layout, which their leaves keep.
        grads: The gradients of the outputs; None for one that goes unused.
        needed: Names of the tensors that require a gradient.
        dtype: To convert floating point tensors to; None for as they are.
    """
    leaves = {}
    for name, tensor in tensors.items():
        if tensor is not None and tensor.is_floating_point():
            tensor = tensor.detach()
            tensor = (tensor if dtype is None else tensor.to(dtype)).requires_grad_(name in needed)
        leaves[name] = tensor
    outputs = function(**leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    results = {f"output {i}": output.detach() for i, output in enumerate(outputs)}
    wanted = [name for name in leaves if name in needed]
    if wanted:
        used = [
            (y, g.to(y.dtype))
            for y, g in zip(outputs, grads, strict=True)
            if g is not None and y.requires_grad
        ]
        outputs, grads = zip(*used, strict=True)
        found = torch.autograd.grad(
            outputs, [leaves[name] for name in wanted], grads, materialize_grads=True
        )
        results |= {f"gradient of {n}": g for n, g in zip(wanted, found, strict=True)}
    return results


def is_same(a: Tensor, b: Tensor) -> Tensor:
    """By element, where NaN is as NaN."""
    return (a == b) | (a.isnan() & b.isnan())
