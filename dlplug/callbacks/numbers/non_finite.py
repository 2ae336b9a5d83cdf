"""Where NaN or infinity comes from: a record, a layer, the loss, or a gradient."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from dlplug.callbacks.implicit.random_state import capture, restore


class Origin(NamedTuple):
    """The first thing that is not finite.

    Args:
        text: One line about it.
        is_own: Whether this process's own batch leads to it. A gradient tells nothing of that: it
            is the mean of all processes'.
    """

    text: str
    is_own: bool


def origin(task: nn.Module, batch: Any) -> Origin:
    """What is the first thing that is not finite, found by repeating the step.

    The forward pass is repeated without gradient and leaves no trace: random states and buffers are
    as before. Each of several processes looks at its own batch and shards, and repeats the pass
    even where its batch says it all: with sharded weights or SyncBatchNorm the others wait for it.

    Args:
        task: A `Task`; of another module only batch and gradients are looked at.
        batch: The one that was trained on, on the module's device.
    """
    record, layer = _first_record(batch), None
    if hasattr(task, "output_and_target") and (record is None or _is_shared()):
        layer = _first_layer(task, batch)
    if record or layer:
        return Origin(record or layer, is_own=True)
    found = _first_gradient(task)
    text = found or "the loss or its gradient, while every layer's output is finite"
    return Origin(text, is_own=False)


def first_of_all(found: Origin, place: str) -> tuple[str, str]:
    """Which process's batch is to blame, of what each has found; all of them call it at once.

    Returns:
        That process's ``place``, behind ``process 1 of 4, `` unless a process is alone or none's
        own batch leads to it, and what it has found.
    """
    if not _is_shared():
        return place, found.text
    everywhere = [(found, place)] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, (found, place))
    bad = [rank for rank, (one, _) in enumerate(everywhere) if one.is_own]
    if not bad:
        found, place = everywhere[0]
        return place, found.text
    others = f" (and process {', '.join(map(str, bad[1:]))})" if bad[1:] else ""
    found, place = everywhere[bad[0]]
    return f"process {bad[0]} of {len(everywhere)}, {place}", found.text + others


def own_values(gradient: Tensor) -> Tensor:
    """What this process has of a gradient, dense; a zero that a sparse one leaves out is finite."""
    if isinstance(gradient, DTensor):
        return gradient.to_local()  # asking a DTensor would ask the other processes
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _is_shared() -> bool:
    is_group = torch.distributed.is_available() and torch.distributed.is_initialized()
    return is_group and torch.distributed.get_world_size() > 1


def _first_record(batch: Any) -> str | None:
    for place, tensor in _tensors(batch, "batch"):
        bad = ~torch.isfinite(tensor) if tensor.is_floating_point() else None
        if bad is not None and bool(bad.any()):
            record = int(bad.reshape(len(tensor), -1).any(dim=1).nonzero()[0]) if bad.ndim else 0
            return f"{place} holds {_kind(tensor)} in its record {record}"
    return None


def _first_gradient(task: nn.Module) -> str | None:
    for name, parameter in task.named_parameters():
        if parameter.grad is None:
            continue
        values = own_values(parameter.grad)
        if not bool(torch.isfinite(values).all()):
            return f"the gradient of {name} holds {_kind(values)}, its input is finite"
    return None


def _first_layer(task: nn.Module, batch: Any) -> str | None:
    found: list[str] = []
    handles = []

    def look(name: str):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if found:
                return
            for _, tensor in _tensors(output, name):
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    found.append(f"the output of {name} holds {_kind(tensor)}")
                    return

        return hook

    state, buffers = capture(), {k: v.clone() for k, v in task.named_buffers()}
    for name, module in task.architecture.named_modules(prefix="architecture"):
        handles.append(module.register_forward_hook(look(name)))
    try:
        with torch.no_grad():
            output, target = task.output_and_target(batch)
            if not found:
                loss = task.loss_of(output, target)
                if not bool(torch.isfinite(loss)):
                    found.append(f"the loss is {_kind(loss)}, the architecture's output is finite")
            for name, buffer in task.named_buffers():
                buffer.copy_(buffers[name])
    finally:
        for handle in handles:
            handle.remove()
        restore(state)
    return found[0] if found else None


def _tensors(value: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{place}[{key!r}]")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{place}[{index}]")


def _kind(tensor: Tensor) -> str:
    return "NaN" if bool(torch.isnan(tensor).any()) else "infinity"
