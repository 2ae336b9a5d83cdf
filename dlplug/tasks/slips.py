"""What an exception in an author's forward tells: the author's line, and the remedy."""

import os
import re
import traceback
from typing import Any

import lightning
import torch
import torchmetrics
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from dlplug.errors import DlplugError
from dlplug.plugin.names import one_line

# Their frames tell nothing about the author's code.
_PACKAGES = (torch.__file__, lightning.__file__, torchmetrics.__file__, os.path.dirname(__file__))
_FOLDERS = tuple(os.path.dirname(path) + os.sep for path in _PACKAGES)
_GENERATED, _LIBRARIES = "<", f"{os.sep}site-packages{os.sep}"

DTYPE_FIX = (
    "a tensor that forward makes or converts has another dtype than the weights: make new ones like"
    " those beside them, torch.zeros_like(x) or x.new_zeros(...), and leave out .double(),"
    " .half() and .long()"
)
# What a message holds, and what to do about it.
REMEDIES = (
    (
        r"in-?place",
        "an operation in place (x += y, x[i] = y, x.relu_()) overwrites what the gradient needs:"
        " write x = x + y, or change a copy, x.clone()",
    ),
    (r"\bnumpy\(\)", "compute with the operations of torch: what numpy computes has no gradient"),
    (
        r"same device|expected device",
        "make new tensors where the others are, torch.zeros_like(x) or device=x.device; keep"
        " constants by register_buffer, and layers in nn.ModuleList instead of a list",
    ),
    (r'required "forward"', "define forward in it, spelt so, and indented as __init__ is"),
    (r"out of memory", "lower data.batch_size, or make the network smaller"),
)
# As PyTorch calls dtypes in messages; those of weights come first.
_DTYPES = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "long": torch.int64,
    "int": torch.int32,
    "short": torch.int16,
    "char": torch.int8,
    "byte": torch.uint8,
    "bool": torch.bool,
    "complexfloat": torch.complex64,
}
_ABOUT_DTYPES = re.compile(r"dtype|scalar type|input type|result type", re.IGNORECASE)
_EXPECTED = re.compile(r"following scalar types: [^;]*;")
_DTYPE_NAME = re.compile(rf"\b({'|'.join(_DTYPES)})(?:tensor)?\b", re.IGNORECASE)


def told(error: Exception) -> str:
    """The message, with its type and place where that is in an author's code."""
    if isinstance(error, DlplugError):
        return str(error)
    place = place_of(error)
    message = one_line(error)
    return f"{type(error).__name__}: {message}{place}" if place or not message else message


def place_of(error: BaseException) -> str:
    """`` (file, line 3)``: the author's innermost frame; empty if there is none.

    A frame of another library is the place only where no other is.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_an_authors(f.filename)]
    frames = [f for f in frames if _LIBRARIES not in f.filename] or frames
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def is_an_authors(filename: str) -> bool:
    """Whether code of that file is neither dlplug's nor PyTorch's nor generated."""
    return not filename.startswith((_GENERATED, *_FOLDERS))


def is_signature(error: Exception) -> bool:
    """Whether the call itself failed: it takes other arguments."""
    return isinstance(error, TypeError) and "argument" in str(error) and not place_of(error)


def remedy(error: Exception) -> str | None:
    """What to do about a slip that the message tells; None where it tells none."""
    text = str(error)
    return next((fix for sign, fix in REMEDIES if re.search(sign, text, re.IGNORECASE)), None)


def is_dtype_slip(error: Exception, inputs: Any) -> bool:
    """Whether dtypes clash, and the one that is no weight's is not the data's either."""
    text = _EXPECTED.sub("", str(error))
    if isinstance(error, DlplugError) or not _ABOUT_DTYPES.search(text):
        return False
    told_of = {_DTYPES[name.lower()] for name in _DTYPE_NAME.findall(text)}
    of_data: set[torch.dtype] = set()
    apply_to_collection(inputs, Tensor, lambda tensor: of_data.add(tensor.dtype))
    strange = told_of - {torch.float32} or told_of
    return bool(strange) and not strange & of_data
