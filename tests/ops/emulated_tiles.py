"""Attention's CPU kernels with the tiles of AMX, run by the emulation of ``csrc/emulation``."""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from dlplug import ops
from dlplug.ops import _isa, _library
from tests.ops import emulation

OPS = ("attention_forward", "attention_backward")


def obstacle() -> str | None:
    """Why the kernels that use tiles cannot be built or run here, or None."""
    if reason := emulation.obstacle():
        return reason
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        return "what is not done by tiles needs a processor with AVX512_BF16"
    return None


needs_tiles = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


@functools.cache
def library() -> ctypes.CDLL:
    """Built if its sources changed; its ops are ``torch.ops.dlplug_emulated_tiles``."""
    path = emulation.build("dlplug_emulated_tiles")
    schemas = torch.library.Library("dlplug_emulated_tiles", "DEF")
    for name in OPS:
        schemas.define(str(_library.KERNELS[name].op._schema).removeprefix("dlplug::"))
    library.schemas = schemas  # they are gone with it
    torch.ops.load_library(path)
    found = ctypes.CDLL(str(path))
    found.take_fault.restype = ctypes.c_char_p
    found.num_products.restype = found.num_configured.restype = ctypes.c_int64
    return found


_LEVELS: list[int] = []  # of the blocks that are entered


@contextmanager
def emulated_tiles(isa: str = "amx") -> Iterator[list[int]]:
    """Within, attention runs these kernels; holds, once it is left, how many tiles were multiplied.

    Args:
        isa: ``amx``, or ``avx512`` for the same library without tiles.
    """
    emulator, found = library(), []
    kernels = [_library.KERNELS[name] for name in OPS]
    before = [(kernel.op, set(kernel.devices)) for kernel in kernels]
    emulator.take_fault()  # of a block that has raised
    _LEVELS.append(_isa.ISAS.index(isa))
    emulator.use_level(ctypes.c_int64(_LEVELS[-1]))
    products = emulator.num_products()
    try:
        for name, kernel in zip(OPS, kernels, strict=True):
            kernel.op = getattr(torch.ops.dlplug_emulated_tiles, name).default
            kernel.devices.add("cpu")
        with ops.use_backend("cpu"):
            yield found
    finally:
        for kernel, (op, devices) in zip(kernels, before, strict=True):
            kernel.op, kernel.devices = op, devices
        _LEVELS.pop()
        if _LEVELS:
            emulator.use_level(ctypes.c_int64(_LEVELS[-1]))
    found.append(emulator.num_products() - products)
    assert emulator.take_fault() == b""
    assert emulator.num_configured() == 0, "a thread has not released its tiles"
