"""The error rule: at most twice PyTorch's error, and a rounding."""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from tests.fuzz.call import Call, Results, is_same

LARGEST = torch.finfo(torch.float64).max
NOWHERE = torch.tensor(False)


@dataclass(frozen=True)
class Error:
    """The largest error of a result, in units of its largest number.

    Attributes:
        mine: Of the op.
        theirs: Of the better peer; of the worse one where it was not the kernel that computed.
        rounding: One of the result, and one of its largest term.
    """

    mine: float
    theirs: float
    rounding: float

    def is_allowed(self) -> bool:
        return self.mine <= 2 * self.theirs + self.rounding

    def pooled(self, other: "Error") -> "Error":
        """The larger of both."""
        return Error(*map(max, astuple(self), astuple(other)))

    def __str__(self) -> str:
        return f"error {self.mine:.3g}, PyTorch {self.theirs:.3g}, a rounding {self.rounding:.3g}"


def errors_of(
    call: Call, found: Results, index: int, backend: str
) -> tuple[dict[str, Error], str | None]:
    """By result its error; or what is wrong with one at a glance."""
    true, roundings, peers = call.oracle(index), call.roundings(index), call.peers(index)
    leaks = {} if all(x.isfinite().all() for x in found.values()) else call.leaks(index)
    better = min if backend == "cpu" else max
    errors = {}
    for name, mine in found.items():
        theirs = [peer[name] for peer in peers]
        if any((x.dtype, x.shape) != (mine.dtype, mine.shape) for x in theirs):
            return {}, f"{name} is {mine.dtype} {tuple(mine.shape)}, not {theirs[0].dtype}"
        stored = call.stored.get(name, mine.dtype)
        numbers, why = _ordinary(mine, theirs, true[name], stored, leaks.get(name, NOWHERE))
        if why:
            return {}, f"{name} {why}"
        if not numbers:
            continue
        exact = numbers.pop()
        limits = torch.finfo(mine.dtype)
        # The oracle has no more digits than a float64 that is judged by it.
        eps = 1e-11 if mine.dtype == torch.float64 else limits.eps
        # Of terms of 1e248 it may overflow; so great an infinity would make NaN of every error.
        rounding = min(roundings.get(name, 0.0), LARGEST * eps)
        size = max(exact.abs().max().item(), rounding / eps, limits.tiny)
        nearest = _neighbours(exact, stored) if name in call.by_chance else (exact, exact)
        own, *others = ((x - x.clamp(*nearest)).abs().max().item() / size for x in numbers)
        errors[name] = Error(own, better(others), eps + rounding / size)
    return errors, None


def _neighbours(exact: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The numbers of a dtype below and above, themselves where they are of it; float64."""
    near = exact.to(dtype)
    down, up = (near.nextafter(torch.full_like(near, x)).double() for x in (-torch.inf, torch.inf))
    near = near.double()
    return torch.where(near > exact, down, near), torch.where(near < exact, up, near)


def _ordinary(
    mine: Tensor, theirs: list[Tensor], true: Tensor, stored: torch.dtype, leaks: Tensor
) -> tuple[list[Tensor], str | None]:
    """Mine, theirs and the true numbers where all but mine are finite, in float64.

    Where the truth is not finite, or beyond the stored dtype's range, and theirs are what it is
    there, mine has to be the same. Where NaN or infinity leaks, such a number is left out.
    """
    limits, rounded = torch.finfo(stored), true.to(stored).to(mine.dtype)
    is_ordinary = true.abs() < limits.max * (1 - limits.eps)
    is_special = ~true.isfinite() | (true.abs() > limits.max * (1 + limits.eps))
    for peer in theirs:
        is_ordinary &= peer.isfinite()
        is_special &= is_same(peer, rounded)
    is_leaked = leaks & ~mine.isfinite()
    is_ordinary &= ~is_leaked
    is_special &= ~is_leaked
    if not mine[is_ordinary].isfinite().all():
        return [], "is not finite where it has to be"
    if not is_same(mine, rounded)[is_special].all():
        return [], "is not NaN or infinite where it has to be"
    if not is_ordinary.any():
        return [], None
    return [x[is_ordinary].double() for x in (mine, *theirs, true)], None
