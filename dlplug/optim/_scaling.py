"""What a GradScaler leaves to the step, and clipping: factors of the gradients."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.ops._memory_layout import sharing_gradients
from dlplug.optim._gradients import clip, divide, divide_at_once, multiply
from dlplug.optim._local_tensors import local_lists


class Scaling:
    """For an optimizer: the two attributes of a ``GradScaler``, and ``max_grad_norm``.

    A scaler that finds ``_step_supports_amp_scaling`` leaves ``grad_scale`` (or None when it has
    unscaled) and ``found_inf`` for the step.
    """

    max_grad_norm: float | None = None
    _grad_factor = 1.0  # what the update of a step is to multiply gradients by

    def _check_limit(self) -> None:
        """Refuse a step that would clip to 0 or less, or out of the sight of autograd.

        Raises:
            InvalidValueError: ``max_grad_norm`` was set to a number that is not > 0, or autograd
                is to differentiate through a step that clips.
        """
        if self.max_grad_norm is None:
            return
        if not self.max_grad_norm > 0:
            raise InvalidValueError(
                f"max_grad_norm = {self.max_grad_norm} is out of range",
                where=f"{type(self).__name__}.step()",
                known="a number > 0, or None",
                fix="set None for steps without clipping",
            )
        if self.defaults.get("differentiable"):
            raise InvalidValueError(
                f"max_grad_norm = {self.max_grad_norm} and differentiable = True: autograd does not"
                " see how a step clips",
                where=type(self).__name__,
                fix="scale the gradients before the step, by operations that autograd records",
            )

    def _is_skipped(self) -> bool:
        """Whether a gradient is not finite, so that nothing may change."""
        found_inf = getattr(self, "found_inf", None)
        return found_inf is not None and bool(found_inf.item())

    def _scale(self) -> float:
        """The scale that gradients are to be divided by first."""
        scale = getattr(self, "grad_scale", None)
        return 1.0 if scale is None else scale.item()

    def _clip(self) -> float:
        """What the update is to multiply gradients by for ``max_grad_norm``."""
        if self.max_grad_norm is None or self._is_skipped():
            return 1.0
        return clip(self._all_params(), self.max_grad_norm * self._scale())

    def _clip_shared(self, factor: float) -> float:
        """Clip now where two parameters have one gradient, which the update of each would scale.

        Returns:
            What is left for the update to multiply by.
        """
        if factor == 1.0:
            return factor
        grads = [param.grad for param in self._all_params() if param.grad is not None]
        if len(set(map(id, grads))) == len(grads):
            return factor
        multiply(grads, factor)
        return 1.0

    def _unscale_where_rows_cannot(self) -> None:
        """Divide all gradients now if the rows of the update, each its own, would do it wrongly.

        Gradients that share memory, in whatever groups, would be divided once for each of them;
        the op that a compiler traces divides none.
        """
        if getattr(self, "grad_scale", None) is None:
            return
        grads = [param.grad for param in self._all_params() if param.grad is not None]
        sharing = set()
        if not torch.compiler.is_compiling():
            sharing = sharing_gradients(local_lists((grads, []))[0])
            if not sharing:
                return
        if self._is_skipped():  # looked at only here: it may wait for a device
            return
        if torch.compiler.is_compiling():
            divide(grads, self._scale())
        else:
            divide_at_once([grads[i] for i in sharing], self._scale())
            divide([grad for i, grad in enumerate(grads) if i not in sharing], self._scale())
        self.grad_scale = None  # as GradScaler says it

    def _all_params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]
