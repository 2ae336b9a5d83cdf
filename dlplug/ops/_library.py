"""The operator library ``dlplug``: its schemas, and the compiled kernels that override fallbacks.

This is the only module that opens a compiled library. A schema is defined in Python with a fallback
in plain PyTorch, so every op exists, compiles and exports without a compiled library; a library
that is loaded registers kernels for its device, and those take precedence over the fallback.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dlplug.errors import BackendError

# A folder with other libraries than the package's, such as those with sanitizers.
CHOSEN = os.environ.get("DLPLUG_LIBRARIES")
NATIVE = Path(CHOSEN or Path(__file__).parents[1] / "_native")
# What setup.py wrote: the platform, torch and compiler of the build, or why nothing was built.
BUILD_INFO = NATIVE / "build_info.json"
# Lies beside the package in a checkout only.
SOURCES = Path(__file__).parents[2] / "csrc"
REBUILD = "python -m pip install --no-build-isolation -e . (needs torch >= 2.10 and a C++ compiler)"

_LIBRARY = torch.library.Library("dlplug", "DEF")


@dataclass
class Status:
    """What became of one compiled library.

    Attributes:
        device: ``cpu`` or ``cuda``.
        is_loaded: The library is open and its kernels are registered.
        reason: Why it is not loaded, in words; empty if it is.
    """

    device: str
    is_loaded: bool = False
    reason: str = ""


@dataclass
class Kernel:
    """One schema of the library, callable with positional arguments.

    Attributes:
        name: Name within the library.
        op: The operator, with its gradient formula if it has one.
        devices: Device types for which a compiled kernel is registered.
    """

    name: str
    op: torch._ops.OpOverload
    function: type[torch.autograd.Function] | None = None
    devices: set[str] = field(default_factory=set)

    def __call__(self, *args):
        # A tracer must see the operator itself. In eager mode the same operator is reached without
        # the Python kernel that torch.library registers for autograd, which costs 3 us a call.
        if torch.compiler.is_compiling():
            return self.op(*args)
        if self.function is not None and torch.is_grad_enabled():
            for arg in args:
                if isinstance(arg, Tensor) and arg.requires_grad:
                    # Not its own `apply`, which first asks of each argument whether a transform of
                    # functions has left it behind: 2 us, and the operator does so itself.
                    return super(torch.autograd.Function, self.function).apply(*args)
        with torch._C._AutoDispatchBelowAutograd():
            return self.op(*args)


KERNELS: dict[str, Kernel] = {}
STATUS: dict[str, Status] = {}


def define(
    schema: str,
    *,
    fallback: Callable,
    fake: Callable,
    setup_context: Callable | None = None,
    backward: Callable | None = None,
    tags: Sequence[torch.Tag] = (),
) -> Kernel:
    """Define an op of the library with its fallback, fake kernel and gradient.

    Args:
        schema: Such as ``"scale(Tensor x, float by) -> Tensor"``; no outputs alias inputs.
        fallback: The op in plain PyTorch, for every device without a compiled kernel.
        fake: Gives outputs of the right shapes, dtypes and strides without computing.
        setup_context: ``(ctx, inputs, output)``; saves what the backward pass needs.
        backward: ``(ctx, *grad_outputs) -> grad_inputs``, one per input.
        tags: What compilers should know of it.
    """
    name = schema.split("(", 1)[0]
    _LIBRARY.define(schema, tags=[torch.Tag.pt2_compliant_tag, *tags])
    _LIBRARY.impl(name, fallback, "CompositeExplicitAutograd")
    torch.library.register_fake(f"dlplug::{name}", fake, lib=_LIBRARY)
    op = getattr(torch.ops.dlplug, name).default
    kernel = KERNELS[name] = Kernel(name, op)
    if backward is not None:
        torch.library.register_autograd(
            f"dlplug::{name}", backward, setup_context=setup_context, lib=_LIBRARY
        )
        kernel.function = _autograd_function(kernel, setup_context, backward)
    return kernel


def define_by_address(schema: str, instead: str) -> Kernel:
    """Define an op that is given addresses, which only a compiled library can follow.

    Args:
        schema: With a table of addresses among its arguments.
        instead: The public function for those who call the op without such a library.
    """

    def refuse(*_) -> None:
        raise BackendError("addresses need the compiled library", fix=f"call dlplug.ops.{instead}")

    return define(schema, fallback=refuse, fake=refuse)


def define_query(schema: str) -> None:
    """Define an op without tensors that only a compiled library implements."""
    _LIBRARY.define(schema)


def _autograd_function(kernel, setup_context, backward) -> type[torch.autograd.Function]:
    def forward(ctx, *args):
        with torch._C._AutoDispatchBelowAutograd():
            output = kernel.op(*args)
        setup_context(ctx, args, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(f"{kernel.name}_autograd", (torch.autograd.Function,), members)


def build_info() -> dict:
    """What the build left behind; empty when nothing was ever built here."""
    try:
        return json.loads(BUILD_INFO.read_text())
    except FileNotFoundError:
        return {}


def load() -> None:
    """Open the libraries that fit this machine and torch; keep the reason for the others.

    Raises:
        BackendError: DLPLUG_LIBRARIES names a folder whose CPU library cannot be opened.
    """
    info = build_info()
    for device in ("cpu", "cuda"):
        status = STATUS[device] = Status(device)
        path = NATIVE / f"libdlplug_{device}.so"
        status.reason = _obstacle(device, path, info)
        if status.reason:
            continue
        try:
            torch.ops.load_library(path)
        except OSError as error:
            status.reason = f"refused by torch {torch.__version__}: {error}"
            continue
        status.is_loaded = True
        key = device.upper()
        for kernel in KERNELS.values():
            if torch._C._dispatch_has_kernel_for_dispatch_key(f"dlplug::{kernel.name}", key):
                kernel.devices.add(device)
    if CHOSEN and not STATUS["cpu"].is_loaded:
        raise BackendError(
            f"no CPU library can be opened in {CHOSEN!r}: {STATUS['cpu'].reason}",
            where="environment variable DLPLUG_LIBRARIES",
            fix="name a folder that setup.py has built, or unset it for the package's own",
        )


def _obstacle(device: str, path: Path, info: dict) -> str:
    """Why a library cannot be opened, or an empty string; fixes are told apart here."""
    if device == "cuda" and torch.version.cuda is None:
        return f"torch {torch.__version__} has no CUDA"
    if not info:
        return f"not built: {NATIVE} holds no build record; run {REBUILD}"
    if device not in info.get("libraries", []):
        return f"not built: {info.get('reasons', {}).get(device, 'not asked for')}"
    if info["platform"] != this_platform():
        return f"built for another platform: {info['platform']}, this is {this_platform()}"
    if device == "cuda" and info["cuda"].split(".")[0] != torch.version.cuda.split(".")[0]:
        return f"built for CUDA {info['cuda']}, torch has {torch.version.cuda}"
    if not path.is_file():
        return f"library missing: {path} was built but is gone; run {REBUILD}"
    # Schemas are Python's: a kernel of other sources may take its arguments for something else.
    # The folder within tells a checkout from what another package may have called `csrc`.
    if (SOURCES / "registration").is_dir() and info.get("sources") != sources_digest(SOURCES):
        return f"built from other sources; run {REBUILD}"
    return ""


def sources_digest(folder: Path) -> str:
    """SHA-256 of what a library is made of; as in setup.py, and about 1 ms.

    Names and contents of the C++ and CUDA files in ``folder``, and of the CMakeLists.txt beside it.
    """
    digest = hashlib.sha256()
    suffixes = {".h", ".cpp", ".cu", ".cuh"}
    sources = [path for path in folder.rglob("*") if path.suffix in suffixes]
    for path in sorted([*sources, *folder.parent.glob("CMakeLists.txt")]):
        content = path.read_bytes()
        name = path.relative_to(folder.parent).as_posix()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def this_platform() -> str:
    """Operating system and processor, such as ``linux-x86_64``."""
    return f"{platform.system()}-{platform.machine()}".lower()
