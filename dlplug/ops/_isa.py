"""Which instruction set the CPU kernels use: the best of this machine, unless another is chosen."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dlplug.errors import BackendError, suggestion
from dlplug.ops import _library

# In the order of csrc/common/isa.h; each needs what the ones before it need.
ISAS = ("scalar", "avx2", "avx512", "amx")

_library.define_query("allow_cpu_bf16(bool is_allowed) -> ()")
_library.define_query("best_cpu_isa() -> int")
_library.define_query("cpu_isa(int level) -> int")


def isas() -> list[str]:
    """Instruction sets that the CPU kernels can use on this machine, the best last."""
    if not _library.STATUS["cpu"].is_loaded:
        return []
    return list(ISAS[: torch.ops.dlplug.best_cpu_isa() + 1])


def current_isa() -> str | None:
    """The instruction set in use, or None without compiled CPU kernels."""
    return ISAS[torch.ops.dlplug.cpu_isa(-1)] if _library.STATUS["cpu"].is_loaded else None


def _select(name: str, where: str) -> None:
    known = isas()
    if name in known and torch.ops.dlplug.cpu_isa(ISAS.index(name)) == ISAS.index(name):
        return
    if not known:
        what = f"no instruction set can be chosen: {_library.STATUS['cpu'].reason}"
    elif name in known:  # of a process with tiles it would save more
        what = f"the operating system refuses '{name}' to this process"
        known.remove(name)
    elif name in ISAS:
        what = f"this machine does not support '{name}'"
    else:
        what = f"no instruction set named '{name}'"
    raise BackendError(
        what, where=where, known=", ".join(known) or None, fix=suggestion(name, known)
    )


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Run the CPU kernels with another instruction set inside a ``with`` block.

    Args:
        name: ``scalar``, ``avx2``, ``avx512`` or ``amx``, as DLPLUG_CPU_ISA.
    Raises:
        BackendError: Unknown, not supported by this machine, or nothing is compiled.
    """
    before = current_isa()
    _select(name, "use_isa()")
    try:
        yield
    finally:
        _select(before, "use_isa()")


@contextmanager
def without_bf16() -> Iterator[None]:
    """Within, CPU kernels do without AVX512_BF16, as where a processor lacks it; for tests."""
    torch.ops.dlplug.allow_cpu_bf16(False)
    try:
        yield
    finally:
        torch.ops.dlplug.allow_cpu_bf16(True)


def read_environment() -> None:
    """Apply DLPLUG_CPU_ISA; called once, after the libraries are loaded."""
    if isa := os.environ.get("DLPLUG_CPU_ISA"):
        _select(isa, "environment variable DLPLUG_CPU_ISA")
