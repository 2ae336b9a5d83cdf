"""A number from the device, read when it is there: nothing waits for the work that came after."""

import torch
from torch import Tensor


class LateReading:
    """One number on its way to the host.

    Asking a GPU for a number waits for everything that it was given to do. This one is copied when
    its turn comes, and whoever reads it a step later waits for nothing.

    Args:
        tensor: One element, on any device; what happens to it later makes no difference.
    """

    def __init__(self, tensor: Tensor):
        self._event = None
        if tensor.device.type == "cuda":
            self._copy = torch.empty((), dtype=tensor.dtype, pin_memory=True)
            self._copy.copy_(tensor.detach().reshape(()), non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._copy = tensor.detach().reshape(()).clone()

    def read(self) -> float | bool:
        """The number; can be read again."""
        if self._event is not None:
            self._event.synchronize()
        return self._copy.item()
