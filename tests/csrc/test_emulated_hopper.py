"""What the emulation of a Hopper's instructions computes, and which faults it finds.

Copies of boxes (TMA) with barriers, and products of a warpgroup (wgmma) from matrix descriptors.
"""

import ctypes
import functools

import pytest
import torch

from tests.ops.emulation import build, needs_emulation

pytestmark = needs_emulation
# As in emulated_hopper.cpp.
FAULTS = [
    "sound",
    "stride of descriptor",
    "leading of descriptor",
    "start of descriptor",
    "no swizzle in map",
    "no expected bytes",
    "too many expected bytes",
    "no wait for copy",
    "no wait for products",
    "one group too few",
    "no fence",
    "operand written",
    "registers written",
    "sums written",
    "barrier not made",
    "too many arrivals",
    "target off its alignment",
    "other matrix in one warp",
    "other matrix in one lane",
    "lanes part",
    "copy not awaited",
    "map off sixteen bytes",
]
# Told by the emulation; each names the line of the source.
TOLD = {
    "no expected bytes": "a block ends while a copy into it is under way",
    "no wait for copy": "a block ends while a copy into it is under way",
    "too many expected bytes": "for others that do not come",
    "no fence": "a product whose registers no fence has ordered",
    "operand written": "what a product reads was changed before it was waited for",
    "registers written": "what a product reads was changed before it was waited for",
    "sums written": "sums were written before they were waited for",
    "barrier not made": "a barrier that was not made",
    "too many arrivals": "more arrivals than a barrier expects",
    "target off its alignment": "a box in shared memory off 1024 bytes",
    "other matrix in one warp": "warps of a warpgroup that multiply different matrices",
    "other matrix in one lane": "lanes that multiply different matrices",
    "lanes part": "for others that do not come",
    "copy not awaited": "a block ends while a copy into it is under way",
    "map off sixteen bytes": "no tensor map",
}
# Seen in the numbers: NaN, or elements of other rows and columns.
WRONG = [name for name in FAULTS[1:] if name not in TOLD]


@functools.cache
def products() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build("dlplug_emulated_hopper")))
    library.run_products.restype = ctypes.c_char_p
    return library


def run(fault: str, rows: int, order: int) -> tuple[str, torch.Tensor, torch.Tensor]:
    """What was found, both products, and what they should be: small whole numbers, so exact."""
    numbers = torch.Generator().manual_seed(rows)
    left, right, values = (
        torch.randint(-3, 4, shape, generator=numbers).half()
        for shape in ((rows, 64), (128, 64), (128, 128))
    )
    out = torch.zeros(2, 64, 128)
    products().dlplug_emulation_order(ctypes.c_uint64(order))
    pointers = [ctypes.c_void_p(x.data_ptr()) for x in (left, right, values, out)]
    found = products().run_products(FAULTS.index(fault), pointers[0], rows, *pointers[1:])
    padded = torch.cat([left, torch.zeros(64 - rows, 64)]).float()
    scores = padded @ right.float().mT
    return found.decode(), out, torch.stack([scores, scores @ values.float()])


@pytest.mark.parametrize("order", [0, 1, 5])
@pytest.mark.parametrize("rows", [64, 60, 1])
def test_copies_and_products_are_exact(rows, order):
    """Two products, one after the other; rows beyond the tensor are 0."""
    found, out, expected = run("sound", rows, order)
    assert found == "" and torch.equal(out, expected)


@pytest.mark.parametrize("order", [0, 1, 5])
@pytest.mark.parametrize("fault", TOLD)
def test_broken_rules_are_told(fault, order):
    """Barriers, waits, fences, what is touched too early, threads that part."""
    found, _, _ = run(fault, 64, order)
    assert TOLD[fault] in found


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_layouts_give_wrong_numbers(fault):
    """A descriptor's stride, leading step or start; a map without swizzle; a wait that is short."""
    found, out, expected = run(fault, 64, 0)
    assert found == "" and not torch.equal(out, expected)
    is_late = fault in ("no wait for products", "one group too few")
    assert out.isnan().any() == is_late
