"""The factor of clipping by norm, where the host computes it: one formula for ops and optimizers.

The kernels have it as ``clip_factor`` of csrc/common/adamw_options.h, with the same roundings.
"""


def clip_factor(norm: float, max_norm: float) -> float:
    """What to multiply gradients by, so that their norm becomes at most ``max_norm``.

    Args:
        norm: Euclidean norm of all gradients together; not finite if one of them is not.
        max_norm: > 0, in the unit of ``norm``: times the scale for gradients that a ``GradScaler``
            has still to divide by it.
    Returns:
        max_norm / (norm + 1e-6), as in PyTorch's ``clip_grad_norm_``, and at most 1; NaN for a norm
        that is NaN.
    """
    factor = max_norm / (norm + 1e-6)
    return 1.0 if factor >= 1 else factor
