"""A copy of a training's state, which stays as it is while the training goes on."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

# What `copy_state` gives back as the same type. Every other value is kept, since nothing changes
# it: numbers, texts, types. Anything else has been refused before.
SEQUENCES = (list, tuple, set)


def copy_state(state: Any) -> tuple[Any, Callable[[], object]]:
    """Copy containers and tensors into host memory.

    Tensors that share memory share it in the copy as well, so that a file of it has the size and
    the content that one of the original has. From a GPU the copies go to pinned memory, queued
    behind the work under way and before whatever changes the tensors next: the host does not wait.

    Args:
        state: Plain data and tensors, nested.
    Returns:
        The copy, and a function that waits until it is complete: to be called by whoever reads it.
    """
    copier = _Copier()
    copied = copier.copy(state)
    return copied, copier.finish()


class _Copier:
    """Copies values; remembers each memory that it has copied."""

    def __init__(self):
        # The original stays alive with its copy: its address tells the memory only as long.
        self.storages: dict[tuple, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self.devices: set[torch.device] = set()

    def copy(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.tensor(value.detach())
        if isinstance(value, Mapping):
            kind = OrderedDict if isinstance(value, OrderedDict) else dict
            return kind((key, self.copy(item)) for key, item in value.items())
        if type(value) in SEQUENCES:
            return type(value)(map(self.copy, value))
        return value

    def tensor(self, tensor: Tensor) -> Tensor:
        is_plain = type(tensor) in (Tensor, Parameter) and tensor.layout == torch.strided
        if not is_plain or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
            return tensor.to("cpu", copy=True)
        if tensor.device.type not in ("cpu", "cuda"):
            return tensor.to("cpu", copy=True)
        copied = torch.empty(0, dtype=tensor.dtype)
        place = tensor.storage_offset(), tensor.shape, tensor.stride()
        return copied.set_(self.storage(tensor), *place)

    def storage(self, tensor: Tensor) -> torch.UntypedStorage:
        """The copy of the memory behind a tensor; one copy, however many tensors look at it."""
        storage = tensor.untyped_storage()
        key = storage.device, storage.data_ptr(), storage.nbytes()
        if key not in self.storages:
            self.storages[key] = storage, self.duplicate(storage)
        return self.storages[key][1]

    def duplicate(self, storage: torch.UntypedStorage) -> torch.UntypedStorage:
        if storage.device.type == "cpu":
            return storage.clone()
        self.devices.add(storage.device)
        flat = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
        host = torch.empty(storage.nbytes(), dtype=torch.uint8, pin_memory=True)
        return host.copy_(flat, non_blocking=True).untyped_storage()

    def finish(self) -> Callable[[], object]:
        """Forget the originals; returns what waits for the copies."""
        self.storages.clear()
        events = []
        for device in self.devices:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
            events.append(event)
        return lambda: [event.synchronize() for event in events]
