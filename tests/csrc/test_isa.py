"""Which level of kernels a processor gets, by what it reports of itself."""

import ctypes

import pytest

from dlplug.ops import _isa
from tests.ops.emulated_tiles import library, needs_tiles

pytestmark = needs_tiles


def bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


# A Sapphire Rapids: bits of CPUID's leaf 1 (ECX), 7 (EBX, EDX) and 7.1 (EAX), and of XCR0.
EVERYTHING = [
    bits(12, 27, 29),
    bits(3, 5, 8, 16, 17, 28, 30, 31),
    bits(22, 24),
    bits(5),
    bits(1, 2, 5, 6, 7, 17, 18),
]
# Level -> what it needs beyond the one before, by the same order.
NEEDS = {
    "avx2": [(0, 12), (0, 27), (0, 29), (1, 3), (1, 5), (1, 8), (4, 1), (4, 2)],
    "avx512": [(1, 16), (1, 17), (1, 28), (1, 30), (1, 31), (4, 5), (4, 6), (4, 7)],
    "amx": [(2, 22), (2, 24), (3, 5), (4, 17), (4, 18)],
}


def level_of(registers: list[int], gives_tiles: bool = True) -> tuple[str, bool]:
    """The level, and whether the operating system was asked for tiles."""
    *words, states = registers
    asked = ctypes.c_bool()
    arguments = [*map(ctypes.c_uint32, words), ctypes.c_uint64(states), ctypes.c_bool(gives_tiles)]
    level = library().level_of(*arguments, ctypes.byref(asked))
    return _isa.ISAS[level], asked.value


def test_a_processor_with_everything_gets_tiles_if_they_are_given():
    """Who reports them and is refused by the operating system has AVX-512."""
    assert level_of(EVERYTHING) == ("amx", True)
    assert level_of(EVERYTHING, gives_tiles=False) == ("avx512", True)


@pytest.mark.parametrize("level", NEEDS)
def test_each_bit_is_needed(level):
    """Without one of them the level before is the best, and nobody is asked for tiles."""
    before = _isa.ISAS[_isa.ISAS.index(level) - 1]
    for register, bit in NEEDS[level]:
        without = list(EVERYTHING)
        without[register] &= ~bits(bit)
        assert level_of(without) == (before, False)
