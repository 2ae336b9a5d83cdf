"""Which backend an op's call takes: the choice, its reasons, and how to change it.

``auto`` takes the compiled kernel where it is loaded, supports the call and is not slower than
PyTorch; otherwise PyTorch's own op, or the op's plain-PyTorch reference where torch has none.
``cpu`` and ``cuda`` take the compiled kernel or raise; ``reference`` always takes the reference.
"""

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd import forward_ad

from dlplug.errors import BackendError, suggestion
from dlplug.ops import _library

MODES = ("auto", "reference", "cpu", "cuda")

logger = logging.getLogger("dlplug.ops")


@dataclass
class _State:
    mode: str = "auto"
    has_told: bool = False  # the one message about missing kernels was logged


_STATE = _State()
_PLAIN_TYPES = (Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class Explanation:
    """Which backend a call takes.

    Attributes:
        op: Name of the op.
        backend: ``cpu`` or ``cuda`` (compiled kernel; ``hopper``: attention's for these GPUs),
            ``torch`` (PyTorch's own op) or ``reference`` (the op in plain PyTorch).
        refused: Reason for each backend that would have come first.
    """

    op: str
    backend: str
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        reasons = "".join(f"\n  not {name}: {why}" for name, why in self.refused.items())
        return f"{self.op}: {self.backend}{reasons}"


@dataclass(frozen=True)
class Op:
    """An op's part in routing.

    Attributes:
        function: The public function.
        arguments: Those of its parameters that decide, in the order that ``route``, ``refuse`` and
            ``decline`` take them; the first is the tensor whose device counts.
        kernels: Schemas that a device must have compiled kernels for.
        refuse: ``(*args) -> reason or None``: why the kernels cannot take a call.
        decline: ``(*args) -> reason or None``: why PyTorch's own op is the better choice.
        otherwise: ``torch`` or ``reference``, where a call goes that the kernels do not take; or
            ``(*args) -> name``.
        device_kernels: Those that other devices than the CPU must have instead; None for the same.
    """

    function: Callable
    arguments: tuple[str, ...]
    kernels: tuple[_library.Kernel, ...]
    refuse: Callable[..., str | None]
    decline: Callable[..., str | None]
    otherwise: str | Callable[..., str]
    device_kernels: tuple[_library.Kernel, ...] | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        return self.function.__name__

    def kernels_for(self, device: str) -> tuple[_library.Kernel, ...]:
        """Those of ``kernels``, or of ``device_kernels``, that calls on a device need."""
        is_other = device != "cpu" and self.device_kernels is not None
        return self.device_kernels if is_other else self.kernels

    def route(self, x: Tensor, *args) -> str:
        """``native``, ``torch`` or ``reference`` for this call; raises what was asked in vain."""
        mode = _STATE.mode
        if mode == "reference":
            return "reference"
        why = self.refusal(x, *args)
        if why is None and mode == "auto":
            why = self.decline(x, *args)
        if why is None:
            return "native"
        if mode != "auto":
            raise BackendError(
                f"the {mode} backend cannot take this call of {self.name}: {why}",
                known=", ".join(MODES),
                fix="use DLPLUG_BACKEND=auto or dlplug.ops.use_backend('auto') to fall back",
            )
        return self.otherwise if isinstance(self.otherwise, str) else self.otherwise(x, *args)

    def refusal(self, x: Tensor, *args) -> str | None:
        """Why no compiled kernel can take the call, or None."""
        device = "cpu" if x.is_cpu else x.device.type
        if _STATE.mode not in ("auto", device):
            return f"the tensor is on {device}"
        for kernel in self.kernels_for(device):
            if device not in kernel.devices:
                return _missing(self.name, device)
        return _unsupported(x) or self.refuse(x, *args)

    def explain(self, x: Tensor, *args) -> Explanation:
        """The backend that ``route`` takes, with the reasons against the others."""
        device = x.device.type
        route = self.route(x, *args)
        if route == "native":
            return Explanation(self.name, device)
        if _STATE.mode == "reference":
            return Explanation(self.name, route, {device: "the backend 'reference' is selected"})
        return Explanation(
            self.name, route, {device: self.refusal(x, *args) or self.decline(x, *args)}
        )


OPS: dict[str, Op] = {}


def is_auto() -> bool:
    return _STATE.mode == "auto"


def is_undisturbed(device: str) -> bool:
    """Whether a plain tensor of a device goes to the kernel of an op that takes it."""
    is_chosen = _STATE.mode in ("auto", device)
    is_watched = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    return is_chosen and not is_watched and not torch.compiler.is_compiling()


def register(op: Op) -> Op:
    OPS[op.name] = op
    return op


def _unsupported(x: Tensor) -> str | None:
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if torch.compiler.is_compiling():
        # A tracer gives fake tensors and sees the op itself, which has all the other rules it needs
        # but those for tensors that hold others: distributed and jagged ones.
        return _subclass(x) if hasattr(type(x), "__tensor_flatten__") else None
    if type(x) not in _PLAIN_TYPES:
        return _subclass(x)
    if x.layout is not torch.strided:
        return f"the layout is {x.layout}"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if torch._C._is_tracing():
        return "torch.jit.trace could record it, but not save it"
    return None


def _subclass(x: Tensor) -> str:
    return f"{type(x).__name__} is a tensor subclass"


def _missing(name: str, device: str) -> str:
    status = _library.STATUS.get(device)
    if status is None:
        return f"no kernels exist for {device}"
    if status.is_loaded:
        return f"{name} has no {device} kernel in this build"
    if not _STATE.has_told and not torch.compiler.is_compiling():
        _STATE.has_told = True
        logger.warning("dlplug runs %s without compiled kernels: %s", device, status.reason)
    return status.reason


def explain(op: str | Callable, *args, **kwargs) -> Explanation:
    """Which backend this very call takes, and why the others were refused.

    Args:
        op: A public op or its name, such as ``dlplug.ops.layer_norm`` or ``"layer_norm"``.
        *args, **kwargs: What the op would be called with.
    Raises:
        BackendError: No such op, or the backend asked for cannot take the call.
    """
    name = op if isinstance(op, str) else op.__name__
    if name not in OPS:
        raise BackendError(f"no op named '{name}'", known=", ".join(OPS), fix=suggestion(name, OPS))
    found = OPS[name]
    bound = inspect.signature(found.function).bind(*args, **kwargs)
    bound.apply_defaults()
    return found.explain(*(bound.arguments[argument] for argument in found.arguments))


def backends() -> list[dict[str, str]]:
    """For each op and device: whether a compiled kernel would run, and if not, why.

    Returns:
        Rows with the keys ``op``, ``device`` (``cpu``, ``cuda``), ``backend`` (``native`` or
        ``fallback``) and ``reason`` (empty for ``native``).
    """
    rows = []
    for op in OPS.values():
        for device, status in _library.STATUS.items():
            native = all(device in kernel.devices for kernel in op.kernels_for(device))
            reason = status.reason or f"{op.name} has no {device} kernel in this build"
            if _STATE.mode not in ("auto", device):
                native, reason = False, f"the backend '{_STATE.mode}' is selected"
            backend = "native" if native else "fallback"
            rows.append(
                {
                    "op": op.name,
                    "device": device,
                    "backend": backend,
                    "reason": "" if native else reason,
                }
            )
    return rows


def check_mode(mode: str, where: str) -> str:
    if mode not in MODES:
        raise BackendError(
            f"no backend named '{mode}'",
            where=where,
            known=", ".join(MODES),
            fix=suggestion(mode, MODES),
        )
    return mode


@contextmanager
def use_backend(mode: str) -> Iterator[None]:
    """Take another backend inside a ``with`` block, for the whole process.

    Args:
        mode: ``auto``, ``reference``, ``cpu`` or ``cuda``, as DLPLUG_BACKEND.
    Raises:
        BackendError: No such backend.
    """
    before, _STATE.mode = _STATE.mode, check_mode(mode, "use_backend()")
    try:
        yield
    finally:
        _STATE.mode = before


def read_environment() -> None:
    """Apply DLPLUG_BACKEND; called once, after the libraries are loaded."""
    if mode := os.environ.get("DLPLUG_BACKEND"):
        _STATE.mode = check_mode(mode, "environment variable DLPLUG_BACKEND")
