"""One call, made with a number of threads, and what became of the memory that it was given."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from dlplug import ops
from dlplug.errors import BackendError
from tests.fuzz.call import Call, Results


def run(call: Call, mode: str, index: int, threads: int) -> tuple[Results, str, str | None]:
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
    why = touched(call, before, call.written)
    for x, memory in zip(call.inputs, before, strict=True):
        x.memory.copy_(memory)
    return found, mode, why


def touched(call: Call, before: list[Tensor], written: list) -> str | None:
    """What was changed that is not the op's to change, or None.

    Args:
        call: Whose inputs are looked at.
        before: Their memory as it was.
        written: Those that the op may change, where their elements are.
    """
    for number, (x, memory) in enumerate(zip(call.inputs, before, strict=True)):
        if any(x is other for other in written):
            tensor = x.tensor
            memory = memory.clone()
            memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(tensor)
        if not same_bits(x.memory, memory):
            return f"memory of input {number} was changed that is not the op's to change"
    return None


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
