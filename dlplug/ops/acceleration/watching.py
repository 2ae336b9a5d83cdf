"""Whether a module may be computed without being called."""

import torch
from torch.nn.modules import module as torch_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = tuple(f"_global{name}" for name in HOOKS)


def is_unwatched(module: torch.nn.Module) -> bool:
    """No hook, no forward of the object's own, nothing compiled would be passed over."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
        or module._compiled_call_impl is not None
        or any(getattr(torch_module, name) for name in GLOBAL_HOOKS)
    )
