"""What an exception in an author's forward tells: the author's line, and the fix."""

import os
import re
import traceback
from collections.abc import Collection, Iterable

import lightning
import torch
import torchmetrics

from dlplug.errors import DlplugError
from dlplug.plugin.names import one_line

# Their frames tell nothing about the author's code: PyTorch's call hooks around every forward and
# raise inside its layers, Lightning and torchmetrics wrap the steps and the updates of metrics, and
# this folder's call all of them.
_PACKAGES = (torch.__file__, lightning.__file__, torchmetrics.__file__, os.path.dirname(__file__))
_FOLDERS = tuple(os.path.dirname(path) + os.sep for path in _PACKAGES)
_GENERATED, _LIBRARIES = "<", f"{os.sep}site-packages{os.sep}"

MADE_EARLY = (
    "make layers and nn.Parameter in __init__, where the optimizer finds them, not in forward; keep"
    " lists of layers in nn.ModuleList"
)
CUTS = ".detach(), .data, torch.no_grad() and torch.tensor(...) cut the gradient"
CONSTANT_FIX = (
    "for a batch with nothing to learn from, such as one without positives, return output.sum() * 0"
    " instead of a constant"
)
DTYPE_FIX = (
    "a tensor that forward makes or converts has another dtype than the weights: make new ones like"
    " those beside them, torch.zeros_like(x) or x.new_zeros(...), and leave out .double(),"
    " .half() and .long()"
)
# What libraries raise besides torch.OutOfMemoryError where memory is short.
_OUT_OF_MEMORY = (
    r"out of memory|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"
    r"|DefaultCPUAllocator: (not enough|can't allocate) memory"
)
# What a message holds, and what to do about it.
FIXES = (
    (
        r"in-?place (operation|modification)|modified in-?place",
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
    (_OUT_OF_MEMORY, "lower data.batch_size, or make the network smaller"),
)
# Of Python, where a call has too many arguments, too few, or others.
_SIGNATURE = re.compile(
    r"positional argument|unexpected keyword|missing .*required|multiple values for argument"
)
# In the traceback that PyTorch's anomaly mode tells in a warning.
_FRAME = re.compile(r'^  File "(.+)", line (\d+)', re.MULTILINE)
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


def message_of(error: Exception) -> str:
    """The message, with its type and place where that is in an author's code.

    Args:
        error: Of an author's code, or of a call of it.
    Returns:
        One line; of dlplug's own errors all of them.
    """
    if isinstance(error, DlplugError):
        return str(error)
    place = place_of(error)
    message = one_line(error)
    return f"{type(error).__name__}: {message}{place}" if place or not message else message


def place_of(error: BaseException) -> str:
    """The author's innermost frame.

    A frame of another library is the place only where no other is.

    Args:
        error: As it was caught.
    Returns:
        `` (file, line 3)``; empty if there is none.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return _innermost((f.filename, f.lineno) for f in frames)


def place_in_text(text: str) -> str:
    """As `place_of`, of a traceback that somebody printed.

    Args:
        text: Holds the lines of a traceback.
    Returns:
        `` (file, line 3)``; empty if there is none.
    """
    return _innermost(_FRAME.findall(text))


def _innermost(frames: Iterable[tuple[str, int | str | None]]) -> str:
    frames = [frame for frame in frames if is_an_authors(frame[0])]
    frames = [frame for frame in frames if _LIBRARIES not in frame[0]] or frames
    return f" ({frames[-1][0]}, line {frames[-1][1]})" if frames else ""


def is_an_authors(filename: str) -> bool:
    """Whether code of that file is neither dlplug's nor PyTorch's nor generated."""
    return not filename.startswith((_GENERATED, *_FOLDERS))


def is_signature(error: Exception) -> bool:
    """Whether the call itself failed, since what was called takes other arguments."""
    is_of_call = isinstance(error, TypeError) and bool(_SIGNATURE.search(str(error)))
    return is_of_call and not place_of(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too short; of an error of dlplug's, whether that was its cause."""
    cause = error.__cause__ if isinstance(error, DlplugError) else error
    if isinstance(cause, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(cause, RuntimeError) and bool(re.search(_OUT_OF_MEMORY, str(cause)))


def fix_for(error: Exception) -> str | None:
    """What to do about a slip that the message tells.

    Args:
        error: Of an author's code, or of a call of it.
    Returns:
        None where the message tells none.
    """
    text = str(error)
    return next((fix for sign, fix in FIXES if re.search(sign, text, re.IGNORECASE)), None)


def is_dtype_slip(error: Exception, of_data: Collection[torch.dtype]) -> bool:
    """Whether dtypes clash, and the one that is no weight's is not the data's either.

    Args:
        error: Of a forward pass.
        of_data: Dtypes of the inputs.
    """
    text = _EXPECTED.sub("", str(error))
    if isinstance(error, DlplugError) or not _ABOUT_DTYPES.search(text):
        return False
    named = {_DTYPES[name.lower()] for name in _DTYPE_NAME.findall(text)}
    strange = named - {torch.float32} or named
    return bool(strange) and not strange & set(of_data)
