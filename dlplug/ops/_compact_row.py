"""Whether the kernel of compact AdamW can take one parameter, and why not."""

from torch import Tensor

from dlplug.ops._memory_layout import DTYPE_CODES, is_dense, is_laid_out_as
from dlplug.ops.fallback.compact_adamw import State

# Of a state, beside m and v, what has the parameter's shape; a table has one column for both.
EXTRAS = ("remainder", "compensation")
LIKE_PARAM = ("exp_avg", "exp_avg_sq", *EXTRAS)


def refusal_of_layout(param: Tensor, state: State, average: Tensor | None) -> str | None:
    """Why the kernel, which walks over memory, cannot take these strided tensors, or None.

    Args:
        param: Of any dtype.
        state: Of a storage that is for the parameter.
        average: Of the parameter; None where none is kept.
    """
    if param.dtype not in DTYPE_CODES:
        return "a parameter is not float32, bfloat16 or float16"
    if not is_dense(param) or param.is_neg():
        return "a parameter's strides leave gaps or overlap"
    like_it = [state[name] for name in LIKE_PARAM if name in state]
    if average is not None:
        like_it.append(average)
    if not all([tensor.shape == param.shape for tensor in like_it]):
        return "a state has another shape than its parameter"
    if not all([is_laid_out_as(tensor, param) for tensor in like_it]):
        return "a state has other strides than its parameter"
    return None
