"""How far outputs are from those in float64."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Of who does the same work in the dtype, with any order of summation; a wrong formula is far above.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def error(outputs: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Largest difference to the reference, relative to the largest value of that tensor.

    Args:
        outputs: Of any dtypes.
        reference: float64, of the same shapes.
    Returns:
        The largest over all tensors; infinity where a shape differs or something is not finite.
    """
    if len(outputs) != len(reference):
        return float("inf")
    return max(map(_error_of_one, outputs, reference))


def _error_of_one(output: Tensor, reference: Tensor) -> float:
    is_finite = output.isfinite().all() and reference.isfinite().all()
    if output.shape != reference.shape or not is_finite:
        return float("inf")
    scale = reference.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    return ((output.double() - reference).abs().max() / scale).item()
