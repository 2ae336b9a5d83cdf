"""Let all processes of a training do the same thing after the same batch."""

import lightning
import torch
from torch import Tensor
from torch.distributed import ReduceOp


class Agreement:
    """Whether any process has something to say, told to all of them at the same batch end.

    What one process alone notices (a signal, its clock) may lead to a collective, such as saving,
    only when all processes begin it at the same place; otherwise they wait for each other for ever.

    On the CPU the answer comes at once. On a GPU it comes at the next batch end: the host reads
    what the device reduced behind the batch before, and never waits for the batch under way. In one
    process nothing is sent. Each mark is answered once.

    Each owner has its own instance and asks it at every batch end, in all processes, with a mark or
    without. The answers then belong together by their order, however many owners there are.
    """

    def __init__(self):
        self._flag: Tensor | None = None
        self._copy: Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def any(self, trainer: lightning.Trainer, mark: bool) -> bool:
        """Say ``mark``; returns, equal in all processes, whether any of them said it.

        Args:
            trainer: Which knows the processes.
            mark: What this process says. One said at the batch end of a yes is answered by it.
        Returns:
            True once for a mark, at this batch end or, on a GPU, at the next.
        """
        if trainer.world_size == 1:
            return mark
        device = trainer.strategy.root_device
        if not _is_in_torch() or device.type not in ("cpu", "cuda"):
            return trainer.strategy.reduce_boolean_decision(mark, all=False)
        if device.type == "cpu":
            flag = torch.tensor(mark, dtype=torch.uint8)
            torch.distributed.all_reduce(flag, ReduceOp.MAX)
            return bool(flag)
        answer = self._read()
        # After a yes nobody posts: a mark that still stands has just been answered.
        if not answer:
            self._post(device, mark)
        return answer

    def _post(self, device: torch.device, mark: bool) -> None:
        """Queue the reduction and its copy to the host behind what the device has to do."""
        if self._flag is None:
            self._flag = torch.empty((), dtype=torch.uint8, device=device)
            self._copy = torch.empty((), dtype=torch.uint8, pin_memory=True)
        self._flag.fill_(mark)  # a kernel: a copy of a host's number would wait for the device
        torch.distributed.all_reduce(self._flag, ReduceOp.MAX)
        self._copy.copy_(self._flag, non_blocking=True)
        self._copied = torch.cuda.Event()
        self._copied.record()

    def _read(self) -> bool:
        """The answer posted a batch ago; False when none is under way."""
        if self._copied is None:
            return False
        self._copied.synchronize()
        self._copied = None
        return bool(self._copy)


def _is_in_torch() -> bool:
    """Whether the processes are connected by torch.distributed."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()
