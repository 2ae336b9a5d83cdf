"""AdamW by PyTorch's own code, for what the kernel does not take and what options ask for."""

import torch
from torch.optim.adamw import adamw as torch_adamw

from dlplug.ops._adamw_kernels import count_versions
from dlplug.ops._adamw_rows import Rows
from dlplug.optim._gathering import Gathering, Lists
from dlplug.optim._gradients import divide, multiply
from dlplug.optim._on_device import takes_capturable


def asks_for_torch(group: dict) -> bool:
    """Whether an option of the group selects an implementation of PyTorch's."""
    return (
        group["foreach"] is not None
        or group["fused"] is False
        or group["differentiable"]
        # A tracer shows the option as True for every optimizer.
        or (
            group["capturable"]
            and not torch.compiler.is_compiling()
            and not takes_capturable(group["params"])
        )
    )


class ByTorch(Gathering):
    """For `dlplug.optim.FusedAdamW`, which is a `torch.optim.AdamW` with factors of gradients."""

    _grad_factor: float

    def _update_others(self, group: dict, rows: Rows, lists: Lists) -> None:
        fused_lists = rows.lists_for_torch_fused()
        if fused_lists is None:
            # PyTorch's fused CPU kernel would be wrong here, even where it was asked for.
            fused = group["fused"] and not any(param.is_cpu for param in lists[0])
            self._update_by_torch(group, lists, foreach=None, fused=fused)
            return
        # PyTorch's fastest code on the CPU, though not its default. It leaves version counters as
        # they were, on which autograd relies.
        self._update_by_torch(group, fused_lists, foreach=None, fused=True)
        count_versions(lists[0])
        if self._grad_factor != 1.0 or self._scale() != 1.0:
            rows.copy_grads_back()

    def _update_by_torch(
        self, group: dict, lists: Lists, foreach: bool | None, fused: bool | None
    ) -> None:
        self._refuse_graph_capture()
        if lists[0]:
            self._note_capture(lists[0][0].device)
        multiply(lists[1], self._grad_factor)
        if not fused:  # PyTorch's other implementations take no scale
            if self._is_skipped():
                return
            divide(lists[1], self._scale())
        beta1, beta2 = group["betas"]
        torch_adamw(
            *lists,
            foreach=foreach,
            capturable=group["capturable"],
            differentiable=group["differentiable"],
            fused=fused,
            grad_scale=getattr(self, "grad_scale", None) if fused else None,
            found_inf=getattr(self, "found_inf", None) if fused else None,
            has_complex=any(torch.is_complex(param) for param in lists[0]),
            amsgrad=group["amsgrad"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )

    def _refuse_graph_capture(self) -> None:
        """Raise as PyTorch does where a CUDA graph would freeze the step number."""
        # Renamed after torch 2.10.
        check = getattr(self, "_accelerator_graph_capture_health_check", None)
        (check or self._cuda_graph_capture_health_check)()
