"""Which rows attention with one query brings into the cache: all that come, each line once."""

import ctypes
from pathlib import Path

import pytest
import torch

from dlplug import ops
from tests.ops import emulation

LINE, WIDTH = 64, 128  # bytes, elements
TYPES = {"float32": 4, "float16": 2, "pairs of bfloat16": 2}  # bytes of an element
pytestmark = emulation.needs_emulation
HAS_BF16 = Path("/proc/cpuinfo").exists() and "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def fetched(isa: str, name: str, are_values: bool, count: int) -> tuple[list[int], int]:
    """The lines asked for, counted from the first row's first, and how many rows ahead they lie."""
    rows = torch.zeros(count * WIDTH * TYPES[name] + LINE, dtype=torch.int8)
    scratch = torch.zeros(1 << 16, dtype=torch.int8)
    addresses, number = (ctypes.c_void_p * 10_000)(), ctypes.c_int64()
    first, space = (-(-x.data_ptr() // LINE) * LINE for x in (rows, scratch))
    ahead = ctypes.CDLL(str(emulation.build(f"dlplug_fetched_rows_{isa}"))).fetch_rows(
        ctypes.c_int64(list(TYPES).index(name)),
        ctypes.c_bool(are_values),
        *map(ctypes.c_int64, (count, WIDTH)),
        *map(ctypes.c_void_p, (first, space)),
        addresses,
        ctypes.byref(number),
    )
    return [(x - first) // LINE for x in addresses[: number.value]], ahead


@pytest.mark.parametrize("isa", [isa for isa in ops.isas() if isa != "amx"])
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("are_values", [False, True], ids=["keys", "values"])
def test_every_line_is_asked_for_once(isa, name, are_values):
    """Of the rows that lie so far ahead of those that are read, the last few of them included."""
    if name not in ("float32", "float16") and not (isa == "avx512" and HAS_BF16):
        pytest.skip("only AVX512_BF16 multiplies pairs")
    lines = WIDTH * TYPES[name] // LINE  # of a row
    for count in (1, 15, 16, 17, 31, 64, 67):
        found, ahead = fetched(isa, name, are_values, count)
        assert ahead > 0
        assert sorted(found) == list(range(ahead * lines, (ahead + count) * lines)), count
