"""``step`` of an optimizer without the cost of hooks and profiler where there are none."""

import functools
from collections.abc import Callable

import torch
from torch.autograd import profiler
from torch.optim import Optimizer, optimizer


def lean_step(step: Callable) -> Callable:
    """Decorate an optimizer's ``step``; its hooks and the profiler see it as they see any other.

    PyTorch wraps the step of every class in a range of the profiler and in loops over the hooks,
    which takes 9 us a call: as long as the kernel for a small network. This does so only while a
    profiler runs or a hook is registered. A step that a subclass puts in its place is wrapped by
    PyTorch, and calls this one as it is.

    References: ``torch.optim.Optimizer.profile_hook_step``, which leaves alone what has the mark
    ``hooked``.
    """
    watched = Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def lean(self: Optimizer, *args, **kwargs):
        is_own = getattr(type(self).step, "__wrapped__", None) is step
        is_watched = is_own and (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or optimizer._global_optimizer_pre_hooks
            or optimizer._global_optimizer_post_hooks
            or (profiler._is_profiler_enabled and not torch.compiler.is_compiling())
        )
        if is_watched:
            return watched(self, *args, **kwargs)
        result = step(self, *args, **kwargs)
        self._optimizer_step_code()  # empty; where torch.profiler finds the end of a step
        return result

    lean.hooked = True
    return lean


class LeanZeroGrad:
    """For an optimizer: ``zero_grad`` without a profiler's range where no profiler runs."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every gradient to None, or to 0.

        Args:
            set_to_none: False to keep the memory, filled with zeros.
        """
        if not set_to_none or profiler._is_profiler_enabled or torch.compiler.is_compiling():
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:
            for param in group["params"]:
                param.grad = None
