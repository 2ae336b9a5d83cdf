"""Passes through a model before its training, which leave it as it was."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dlplug.callbacks.implicit.random_state import capture, restore
from dlplug.tasks.modes import set_modes
from dlplug.tasks.task import Task


@contextmanager
def isolated(task: Task) -> Iterator[dict[nn.Module, bool]]:
    """Put back random states, buffers, carried states and modes.

    Args:
        task: Before its training.
    Returns:
        The modes of its modules, for `in_training`.
    """
    state = capture()
    modes = {module: module.training for module in task.modules()}
    buffers = {
        (module, name): buffer.clone()
        for module in task.modules()
        for name, buffer in module.named_buffers(recurse=False)
    }
    try:
        yield modes
    finally:
        with torch.no_grad():
            for (module, name), before in buffers.items():
                _put_back(module, name, before)
        task.reset_states()
        set_modes(task, modes)
        restore(state)


@contextmanager
def in_training(task: Task, modes: Mapping[nn.Module, bool]) -> Iterator[None]:
    """Training mode for a while; frozen weights are put back, which a forward may average into.

    Args:
        task: In evaluation, and afterwards again.
        modes: From `isolated`.
    """
    set_modes(task, modes)
    # After it: adapters have taken themselves out of them.
    frozen = [(p, p.detach().clone()) for p in task.parameters() if not p.requires_grad]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in frozen:
                parameter.copy_(value)
        task.reset_states()
        task.eval()


def _put_back(module: nn.Module, name: str, before: Tensor) -> None:
    buffer = module._buffers.get(name)
    if buffer is not None and (buffer.shape, buffer.dtype) == (before.shape, before.dtype):
        buffer.copy_(before)
    elif name not in module._non_persistent_buffers_set:
        setattr(module, name, before if buffer is None else before.to(buffer.device))
    # Others are made anew when they are too short, and modules remember for how long they last.
