"""Whether a call did what it has to: the error rule, bits, memory that is not its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from types import ModuleType

import torch
from torch import Tensor

from dlplug import ops
from dlplug.errors import BackendError, DlplugError
from tests.fuzz.call import Call, Results
from tests.fuzz.dice import Dice

# How often the same form is drawn with other values before an error counts as one: on a tensor of
# three elements the error of PyTorch is a matter of luck.
SIBLINGS = 24
WRONG = 0.15  # share of the calls that are given something no backend accepts


def fault_of(family: ModuleType, seed: int, index: int) -> str | None:
    """What is wrong with a call, or None.

    Args:
        family: Module with ``draw(dice) -> Call`` and ``NAME``, of the op.
        seed: Of the run.
        index: Number of the call.
    """
    dice = Dice(family.NAME, seed, index)
    call = family.draw(dice)
    isa, is_wrong = dice.choice(ops.isas()), dice.chance(WRONG)
    mode = dice.choices(("cpu", "auto", "reference"), (75, 17, 8))[0]
    with ops.use_isa(isa):
        if is_wrong and call.wrong:
            name = dice.choice(sorted(call.wrong))
            why = _fault_of_wrong(call, call.wrong[name], index)
            return f"wrong call ({name}): {why}" if why else None
        why = _fault_of_right(family, seed, index, call, mode)
    return f"{mode}, {isa}: {why}" if why else None


def _fault_of_right(family: ModuleType, seed: int, index: int, call: Call, mode: str) -> str | None:
    found, backend, why = _run(call, mode, index, threads=1)
    if why:
        return why
    again, _, why = _run(call, mode, index, threads=2)
    if why:
        return f"with 2 threads: {why}"
    if backend == "cpu":
        for name in found:
            if not same_bits(found[name], again[name]):
                return f"{name} has other bits with 2 threads"
    return _fault_of_numbers(family, seed, index, call, found, backend)


def _run(call: Call, mode: str, index: int, threads: int) -> tuple[Results, str, str | None]:
    """Results, the backend asked for that took the call, and what happened to its inputs."""
    before = [x.memory.clone() for x in call.inputs]
    torch.manual_seed(index)
    with num_threads(threads):
        try:
            with ops.use_backend(mode):
                found = call.run()
        except BackendError:
            if mode != "cpu":
                raise
            mode = "auto"
            torch.manual_seed(index)
            with ops.use_backend(mode):
                found = call.run()
    why = _touched(call, before, call.written)
    for x, memory in zip(call.inputs, before, strict=True):
        x.memory.copy_(memory)
    return found, mode, why


def _touched(call: Call, before: list[Tensor], written: list) -> str | None:
    for number, (x, memory) in enumerate(zip(call.inputs, before, strict=True)):
        if any(x is other for other in written):
            tensor = x.tensor
            memory = memory.clone()
            memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(tensor)
        if not same_bits(x.memory, memory):
            return f"memory of input {number} was changed that is not the op's to change"
    return None


def _fault_of_wrong(call: Call, wrong, index: int) -> str | None:
    """The same error of dlplug on every backend, and nothing changed."""
    errors = {}
    for mode in ("cpu", "auto", "reference"):
        before = [x.memory.clone() for x in call.inputs]
        try:
            with ops.use_backend(mode):
                wrong()
        except DlplugError as error:
            errors[mode] = f"{type(error).__name__}: {error}"
        except Exception as error:
            return f"{mode} raises {type(error).__name__}: {error}"
        else:
            return f"{mode} accepts it"
        if why := _touched(call, before, []):
            return f"{mode}: {why}"
    return None if len(set(errors.values())) == 1 else f"other errors by backend: {errors}"


def _fault_of_numbers(
    family: ModuleType, seed: int, index: int, call: Call, found: Results, backend: str
) -> str | None:
    errors, why = _errors(call, found, index, backend)
    if why:
        return why
    suspects = {name for name, error in errors.items() if not error.is_allowed()}
    if not suspects:
        return None
    pooled = {name: errors[name] for name in suspects}
    for sibling in range(1, SIBLINGS + 1):
        other = family.draw(Dice(family.NAME, seed, index, sibling))
        others, _, _ = _run(other, backend, index, threads=1)
        errors, why = _errors(other, others, index, backend)
        if why:
            return f"with other values ({sibling}): {why}"
        for name in suspects & errors.keys():
            pooled[name] = pooled[name].pooled(errors[name])
    return next((f"{name}: {e}" for name, e in pooled.items() if not e.is_allowed()), None)


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


def _errors(
    call: Call, found: Results, index: int, backend: str
) -> tuple[dict[str, Error], str | None]:
    """By result its error; or what is wrong with one at a glance."""
    true, roundings, peers = call.oracle(index), call.roundings(index), call.peers(index)
    better = min if backend == "cpu" else max
    errors = {}
    for name, mine in found.items():
        theirs = [peer[name] for peer in peers]
        if any((x.dtype, x.shape) != (mine.dtype, mine.shape) for x in theirs):
            return {}, f"{name} is {mine.dtype} {tuple(mine.shape)}, not {theirs[0].dtype}"
        numbers, why = _ordinary(mine, theirs, true[name])
        if why:
            return {}, f"{name} {why}"
        if not numbers:
            continue
        exact = numbers.pop()
        limits, rounding = torch.finfo(mine.dtype), roundings.get(name, 0.0)
        # The oracle has no more digits than a float64 that is judged by it.
        eps = 1e-11 if mine.dtype == torch.float64 else limits.eps
        size = max(exact.abs().max().item(), rounding / eps, limits.tiny)
        own, *others = ((x - exact).abs().max().item() / size for x in numbers)
        errors[name] = Error(own, better(others), eps + rounding / size)
    return errors, None


def _ordinary(mine: Tensor, theirs: list[Tensor], true: Tensor) -> tuple[list[Tensor], str | None]:
    """Mine, theirs and the true numbers where all but mine are finite, in float64.

    Where the truth is not finite, and theirs are what it is, mine has to be the same.
    """
    limits, rounded = torch.finfo(mine.dtype), true.to(mine.dtype)
    is_ordinary = true.abs() < limits.max * (1 - limits.eps)
    is_special = ~true.isfinite()
    for peer in theirs:
        is_ordinary &= peer.isfinite()
        is_special &= (peer == rounded) | (peer.isnan() & rounded.isnan())
    if not mine[is_ordinary].isfinite().all():
        return [], "is not finite where it has to be"
    is_same = (mine == rounded) | (mine.isnan() & rounded.isnan())
    if not is_same[is_special].all():
        return [], "is not NaN or infinite where it has to be"
    if not is_ordinary.any():
        return [], None
    return [x[is_ordinary].double() for x in (mine, *theirs, true)], None


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal bit for bit."""
    return a.shape == b.shape and a.dtype == b.dtype and _bytes(a).equal(_bytes(b))


def _bytes(x: Tensor) -> Tensor:
    # A copy of its own: what counts as contiguous may have any stride where there is one element.
    return torch.empty(x.numel(), dtype=x.dtype).copy_(x.flatten()).view(torch.uint8)


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
