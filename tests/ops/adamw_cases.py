"""Lists of tensors for the AdamW tests, and the rule by which results are judged."""

import pytest
import torch
from torch import Tensor
from torch.optim.adamw import adamw as torch_adamw

from dlplug import ops
from dlplug.ops._averages import average_dtype
from dlplug.ops.fallback import adamw as reference

OPTIONS = dict(lr=3e-2, beta1=0.9, beta2=0.99, eps=1e-6, weight_decay=0.1)
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
each_isa = pytest.mark.parametrize("isa", ops.isas())
# Around the vector widths 4, 8 and 16, around the 64 elements of a unit of work, odd, empty.
SIZES = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 1000]

Lists = list[list[Tensor]]


def make_lists(
    shapes, dtype=torch.float32, *, amsgrad=False, step=0, device="cpu", seed=0
) -> Lists:
    """Six lists in the order of ``adamw_``; after ``step`` > 0 steps the states are not 0."""
    numbers = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=numbers, dtype=torch.float64).to(dtype).to(device)

    params, grads, m = ([draw(shape) for shape in shapes] for _ in range(3))
    v, u = ([draw(shape).square() for shape in shapes] for _ in range(2))
    if step == 0:
        for state in (*m, *v, *u):
            state.zero_()
    return [params, grads, m, v, u if amsgrad else [], [torch.tensor(float(step)) for _ in shapes]]


def copy_of(lists: Lists, dtype: torch.dtype | None = None) -> Lists:
    """A deep copy; steps keep their dtype."""
    *tensors, steps = lists
    copies = [[t.detach().to(dtype or t.dtype, copy=True) for t in kind] for kind in tensors]
    return [*copies, [step.clone() for step in steps]]


def averages_of(lists: Lists, seed=1) -> list[Tensor]:
    """Averages of the parameters after some steps: near them, not equal."""
    numbers = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(param.shape, generator=numbers).mul_(0.1) for param in lists[0]]
    return [
        noise.to(param.device).add(param.to(average_dtype(param)))
        for param, noise in zip(lists[0], drawn, strict=True)
    ]


def run_fused_torch(lists: Lists, maximize: bool = False, **options) -> None:
    """PyTorch's own fused kernel."""
    torch_adamw(*lists, amsgrad=bool(lists[4]), fused=True, maximize=maximize, **options)


def largest_errors(lists: Lists, oracle: Lists) -> list[float]:
    """For parameters, m, v and u the largest distance from the oracle over all elements."""
    errors = []
    for kind, true in zip((lists[0], *lists[2:5]), (oracle[0], *oracle[2:5]), strict=True):
        pairs = zip(kind, true, strict=True)
        errors.append(max([_distance(a, b) for a, b in pairs if a.numel()], default=0.0))
    return errors


def _distance(tensor: Tensor, true: Tensor) -> float:
    distance = (tensor.double() - true).abs().max().item()
    return distance if distance == distance else float("inf")  # NaN has no place in an order


def assert_within_twice(found: Lists, oracle: Lists, *peers: Lists) -> None:
    """error(found) <= 2 * error(PyTorch in the same dtype) + 1 ulp of the largest true value."""
    errors = largest_errors(found, oracle)
    allowed = [
        min(column) for column in zip(*(largest_errors(p, oracle) for p in peers), strict=True)
    ]
    for kind, (error, limit) in enumerate(zip(errors, allowed, strict=True)):
        true = [tensor for tensor in (oracle[0], *oracle[2:5])[kind] if tensor.numel()]
        if true:
            dtype = next(tensor.dtype for tensor in found[0])
            ulp = torch.finfo(dtype).eps * max(tensor.abs().max().item() for tensor in true)
            assert error <= 2 * limit + ulp, ("param", "m", "v", "u")[kind]


def run_reference(lists: Lists, maximize: bool = False, **options) -> None:
    """The op in plain PyTorch."""
    reference.adamw_(*lists, *options.values(), maximize)


def assert_same_bits(lists, others):
    """Equal bit for bit, NaN equal to NaN."""
    for kind, other in zip(lists, others, strict=True):
        for a, b in zip(kind, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def in_memory_order(tensor, order):
    """The same values with the axes laid out in another order."""
    back = [order.index(axis) for axis in range(tensor.dim())]
    return tensor.permute(order).contiguous().permute(back)


def replaced(lists, change):
    """The lists with every tensor but the steps changed."""
    return [*([change(tensor) for tensor in kind] for kind in lists[:5]), lists[5]]
