"""Time and memory of each module of an architecture, in the forward pass."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class ModuleCost:
    """What a module costs, without the modules within it.

    Args:
        name: Where it stands.
        type: Its class.
        parameters: Numbers that are its own.
        seconds: Forward, summed over all passes.
        kept_bytes: What autograd keeps from it for the backward pass, in one pass.
    """

    name: str
    type: str
    parameters: int
    seconds: float = 0.0
    kept_bytes: int = 0


class ModuleClock:
    """Hooks that know which module is at work.

    Args:
        model: To look at.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.costs = {
            name: ModuleCost(
                name or type(model).__name__,
                type(module).__name__,
                sum(p.numel() for p in module.parameters(recurse=False)),
            )
            for name, module in model.named_modules()
        }
        self.passes = 0
        self._open: list[list] = []
        self._seen: set[int] = set()
        self._owned = {p.untyped_storage().data_ptr() for p in model.parameters()}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what runs within."""
        handles = []
        for name, module in self.model.named_modules():
            handles.append(module.register_forward_pre_hook(self._enter(name)))
            handles.append(module.register_forward_hook(self._leave, always_call=True))
        self._seen.clear()
        self.passes += 1
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept):
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._open.clear()

    def _enter(self, name: str):
        def enter(module, inputs):
            self._open.append([name, _now(), 0.0])

        return enter

    def _leave(self, module, inputs, output) -> None:
        name, started, within = self._open.pop()
        took = _now() - started
        self.costs[name].seconds += took - within
        if self._open:
            self._open[-1][2] += took

    def _keep(self, tensor: Tensor) -> Tensor:
        """Called by autograd for each tensor that it keeps."""
        storage = tensor.untyped_storage()
        pointer = storage.data_ptr()
        is_new = pointer not in self._seen and pointer not in self._owned
        # One pass is enough: all of them keep the same.
        if self.passes == 1 and is_new and self._open:
            self.costs[self._open[-1][0]].kept_bytes += storage.nbytes()
        self._seen.add(pointer)
        return tensor


def _now() -> float:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
