"""The CUDA kernels on the CPU: builds the sources of ``csrc/cuda`` with ``csrc/emulation``."""

import ctypes
import fcntl
import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from dlplug import ops
from dlplug.ops import _backend, _device_table, _library
from dlplug.ops._adamw_device import DeviceRows
from dlplug.ops._compact_device import CompactDeviceRows

ROOT = Path(__file__).parents[2]
HOPPER_SHARED_MEMORY = 227 << 10  # bytes of a block on sm_90
# Set by ``python -m tests.sanitize``, whose processes have the runtimes loaded.
SANITIZERS = os.environ.get("DLPLUG_SANITIZE", "")
BUILD = ROOT / "build" / ("sanitize" if SANITIZERS else ".") / "emulation"


def _program(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else shutil.which(name)


def obstacle() -> str | None:
    """Why the emulation cannot be built here, or None."""
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform != "linux":
        return f"the emulation is for Linux on x86-64, this is {platform.machine()}"
    for name in ("cmake", "ninja", "g++"):
        if _program(name) is None:
            return f"no {name} here to build the emulation with"
    return None


needs_emulation = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
# Of the CPU's kernels, the one whose multiply-add rounds once, as a GPU's does.
needs_fma = pytest.mark.skipif("avx2" not in ops.isas(), reason="no CPU kernel rounds so")


@functools.cache
def library() -> ctypes.CDLL:
    """The emulation, built if its sources changed; its ops are ``torch.ops.dlplug_emulation``."""
    path = build("dlplug_emulation")
    schemas = torch.library.Library("dlplug_emulation", "DEF")
    for kernel in _library.KERNELS.values():
        schemas.define(str(kernel.op._schema).removeprefix("dlplug::"))
    # What a graph may hold has no outputs.
    torch.library.register_fake("dlplug_emulation::adamw_", lambda *_: None, lib=schemas)
    library.schemas = schemas  # they are gone with it
    torch.ops.load_library(path)
    return ctypes.CDLL(str(path))


@contextmanager
def launches() -> Iterator[list[int]]:
    """Holds, once it is left, how many kernels were launched within."""
    count = library().dlplug_emulation_launches
    count.restype = ctypes.c_uint64
    found, before = [], count()
    yield found
    found.append(count() - before)


@contextmanager
def device(shared_memory: int, has_clusters: bool) -> Iterator[None]:
    """Within, the GPU is one with so many bytes of shared memory for a block."""
    set_device = library().dlplug_emulation_device
    set_device(ctypes.c_uint64(shared_memory), has_clusters)
    try:
        yield
    finally:
        set_device(ctypes.c_uint64(HOPPER_SHARED_MEMORY), True)


def build(target: str) -> Path:
    """The library that CMakeLists.txt calls ``target``."""
    error = _error_of_building(target)
    assert not error, error
    return BUILD / f"lib{target}.so"


@functools.cache
def _error_of_building(target: str) -> str:
    torch_folder = Path(torch.__file__).parent
    settings = {
        "CMAKE_MAKE_PROGRAM": _program("ninja"),
        "CMAKE_CXX_COMPILER": _program("g++"),
        "TORCH_INCLUDE": torch_folder / "include",
        "TORCH_LIB": torch_folder / "lib",
        "DLPLUG_EMULATION": "ON",
        "DLPLUG_SANITIZE": SANITIZERS,
    }
    definitions = [f"-D{key}={value}" for key, value in settings.items()]
    # A compiler does not expect a sanitizer's runtime in its process.
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    cmake = _program("cmake")
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "lock", "w") as lock:  # Ninja does not expect a second one in its folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            [cmake, "-G", "Ninja", "-S", ROOT, "-B", BUILD, *definitions],
            [cmake, "--build", BUILD, "--target", target],
        ):
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode != 0:
                return done.stdout[-4000:] + done.stderr[-4000:]
    return ""


@contextmanager
def emulated(order: int = 0, has_device_steps: bool = True) -> Iterator[None]:
    """Within, the ops run their CUDA kernels, on tensors of the CPU.

    Args:
        order: In which threads and blocks take turns: 0 as numbered, 1 backwards, else drawn.
        has_device_steps: The optimizers' steps count as lying on the device, too.
    """
    library().dlplug_emulation_order(ctypes.c_uint64(order))
    kernels = [kernel for kernel in _library.KERNELS.values() if _is_emulated(kernel.name)]
    before = [(kernel.op, set(kernel.devices)) for kernel in kernels]
    try:
        for kernel in kernels:
            kernel.op = getattr(torch.ops.dlplug_emulation, kernel.name).default
            kernel.devices.add("cpu")
        with (
            ops.use_backend("cpu"),
            patch.object(_backend.Op, "kernels_for", lambda op, _: op.device_kernels or op.kernels),
            patch.object(_device_table, "is_on_device", lambda _: True),
            patch.object(DeviceRows, "have_device_steps", has_device_steps),
            patch.object(CompactDeviceRows, "have_device_steps", has_device_steps),
        ):
            yield
    finally:
        for kernel, (op, devices) in zip(kernels, before, strict=True):
            kernel.op, kernel.devices = op, devices


def _is_emulated(name: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"dlplug_emulation::{name}", "CPU")
