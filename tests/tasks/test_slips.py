"""What exceptions tell about the code of an author."""

import pytest
import torch

from dlplug.errors import ConfigError
from dlplug.tasks.slips import fix_for, is_out_of_memory, is_signature, place_in_text


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("forward() takes 2 positional arguments but 3 were given", True),
        ("forward() missing 1 required positional argument: 'mask'", True),
        ("f() missing 2 required keyword-only arguments: 'a' and 'b'", True),
        ("forward() got an unexpected keyword argument 'inplace'", True),
        ("forward() got multiple values for argument 'x'", True),
        ("mse_loss(): argument 'target' (position 2) must be Tensor, not dict", False),
    ],
)
def test_a_signature_is_what_python_refuses(message, answer):
    """PyTorch's words about the kind of an argument are none."""
    assert is_signature(TypeError(message)) == answer


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("a leaf Variable that requires grad is being used in an in-place operation.", True),
        ("one of the variables has been modified by an inplace operation", True),
        ("Output 0 of UnbindBackward0 is a view and is being modified inplace.", True),
        ("forward() got an unexpected keyword argument 'inplace'", False),
    ],
)
def test_an_operation_in_place_is_no_argument(message, answer):
    """Of that name."""
    assert ((fix_for(RuntimeError(message)) or "").startswith("an operation in place")) == answer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_is_too_short_is_known_by_its_text(error, answer):
    """By its own exception alone it would not: most libraries raise RuntimeError."""
    assert is_out_of_memory(error) == answer
    wrapped = ConfigError("the loss cannot be taken")
    assert not is_out_of_memory(wrapped)
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) == answer


def test_the_place_in_a_printed_traceback_is_the_authors_innermost():
    """PyTorch's frames come after it."""
    text = f'''Error detected in SigmoidBackward0.
  File "/home/a/net.py", line 3, in forward
    return self.body(x)
  File "/home/a/body.py", line 7, in forward
    return x.sigmoid()
  File "{torch.__file__}", line 9, in sigmoid
'''
    assert place_in_text(text) == " (/home/a/body.py, line 7)" and place_in_text("no frame") == ""
