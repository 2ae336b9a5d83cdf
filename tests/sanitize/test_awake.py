"""The sanitizers see faults on purpose, in our kernels and in code compiled as they are."""

import os
import subprocess
import sys

import pytest

from dlplug import ops
from dlplug.ops import _library
from tests.sanitize.folder import LIBRARIES

pytestmark = pytest.mark.skipif(
    _library.NATIVE != LIBRARIES, reason="the library has no sanitizers: see make sanitize"
)

PLANTED = """
from ctypes import CDLL, c_float, c_int64, c_void_p
library, libc = CDLL({path!r}), CDLL(None)
for name in ("fill", "sum_of"):
    getattr(library, name).argtypes = [c_void_p, c_int64]
library.add.argtypes, library.add.restype = [c_int64] * 2, c_int64
libc.calloc.restype = c_void_p
x = libc.calloc(c_int64({numel}), c_int64(4))
"""
KERNEL = """
import torch
from dlplug.ops._adamw_kernels import update_tables

def adamw(numel, *tensors):
    table = [t.data_ptr() for t in tensors[:3]] + [step.data_ptr(), numel, 0, tensors[3].data_ptr()]
    numbers = torch.tensor([1e-3, 0.9, 0.99, 1e-8, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    head = [0, 0, 0, *numbers.view(torch.int64).tolist()]
    update_tables([torch.tensor(head + table)], 0.0)

step, tensors = torch.zeros(()), [torch.ones(100) for _ in range(4)]
adamw(100, *tensors)
print("the right call is done", flush=True)
"""


SURVIVED = "; print('survived')"


def outcome(code: str) -> subprocess.CompletedProcess:
    """Run code as this process runs, but with reports on standard error."""
    environment = os.environ | {
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "DLPLUG_LIBRARIES": str(LIBRARIES),
        "DLPLUG_CPU_ISA": ops.current_isa(),
    }
    command = [sys.executable, "-c", code + SURVIVED]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def planted(numel: int) -> str:
    """Code that has the planted faults and the address ``x`` of as many floats."""
    isa = ops.current_isa().replace("amx", "avx512")  # whose kernels it takes
    path = LIBRARIES.parent / f"libplanted_faults_{isa}.so"
    return PLANTED.format(path=str(path), numel=numel)


@pytest.mark.parametrize("numel", [16, 47], ids="{} elements".format)
@pytest.mark.parametrize(("call", "seen"), [("fill", "WRITE of size"), ("sum_of", "READ of size")])
def test_one_element_too_many_is_seen(numel, call, seen):
    """By a whole vector, and by a masked instruction, which the compiler does not instrument."""
    right = outcome(f"{planted(numel)}library.{call}(x, {numel})")
    assert right.stdout == "survived\n", right.stderr
    wrong = outcome(f"{planted(numel)}library.{call}(x, {numel + 1})")
    assert wrong.returncode != 0 and wrong.stdout == ""
    assert "ERROR: AddressSanitizer: " in wrong.stderr and seen in wrong.stderr


def test_a_signed_overflow_is_seen():
    """And ends the process."""
    right = outcome(f"{planted(1)}assert library.add(2**62, 5) == 2**62 + 5")
    assert right.stdout == "survived\n", right.stderr
    wrong = outcome(f"{planted(1)}library.add(2**63 - 1, 1)")
    assert wrong.returncode != 0 and wrong.stdout == ""
    assert "signed integer overflow: 9223372036854775807 + 1" in wrong.stderr


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("adamw(101, *tensors)", "AddressSanitizer: "),
        ("adamw(164, *tensors)", "AddressSanitizer: "),
        ("adamw(100, *tensors[:3], tensors[3][1:])", "AddressSanitizer: "),
        ("adamw(2**63 - 1, *tensors)", "signed integer overflow: 9223372036854775807 + "),
    ],
    ids=["one element too many", "a unit too many", "a gradient too short", "a size too large"],
)
def test_a_wrong_call_of_a_kernel_is_seen(fault, seen):
    """In the library that the tests run, in the memory that torch gives them."""
    done = outcome(f"{KERNEL}{fault}")
    assert done.stdout == "the right call is done\n", done.stderr
    assert done.returncode != 0 and seen in done.stderr
    assert "dlplug" in done.stderr  # the stack names the kernel
