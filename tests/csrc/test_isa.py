"""Which level of kernels a processor gets by what it reports, and when it asks for tiles."""

import ctypes

import pytest

from dlplug.ops import _isa
from tests.ops import emulation

pytestmark = emulation.needs_emulation


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


def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(emulation.build("dlplug_isa")))


def level_of(registers: list[int], has_tiles: bool = True) -> str:
    *words, states = registers
    arguments = [*map(ctypes.c_uint32, words), ctypes.c_uint64(states), ctypes.c_bool(has_tiles)]
    return _isa.ISAS[library().level_of(*arguments)]


def level_in_use(best: str, selected: str | None, gives_tiles: bool = True) -> tuple[str, int]:
    """The level, and how often the operating system was asked for tiles."""
    times = ctypes.c_int64()
    levels = (_isa.ISAS.index(best), -1 if selected is None else _isa.ISAS.index(selected))
    level = library().level_in_use(
        *map(ctypes.c_int64, levels), ctypes.c_bool(gives_tiles), ctypes.byref(times)
    )
    return _isa.ISAS[level], times.value


def test_a_processor_with_everything_has_tiles_if_its_system_does():
    """Else AVX-512 is its best."""
    assert level_of(EVERYTHING) == "amx"
    assert level_of(EVERYTHING, has_tiles=False) == "avx512"


@pytest.mark.parametrize("level", NEEDS)
def test_each_bit_is_needed(level):
    """Without one of them the level before is the best."""
    before = _isa.ISAS[_isa.ISAS.index(level) - 1]
    for register, bit in NEEDS[level]:
        without = list(EVERYTHING)
        without[register] &= ~bits(bit)
        assert level_of(without) == before


def test_one_bit_tells_of_avx512_bf16():
    """The norms round by it, and attention multiplies, below the level of tiles too."""
    reports = library().reports_bf16
    reports.restype = ctypes.c_bool
    assert [bit for bit in range(32) if reports(ctypes.c_uint32(bits(bit)))] == [5]


def test_tiles_are_asked_for_once_they_are_wanted():
    """By a level that is selected, or by the best if none is."""
    assert level_in_use("amx", None) == ("amx", 1)
    assert level_in_use("amx", "amx") == ("amx", 1)


@pytest.mark.parametrize("level", _isa.ISAS[:-1])
def test_no_other_level_asks_for_tiles(level):
    """Selected where there are some, or the best where there are none."""
    assert level_in_use("amx", level) == (level, 0)
    assert level_in_use(level, None) == (level, 0)
    assert level_in_use(level, "amx") == (level, 0)


def test_refused_tiles_leave_avx512():
    """However they were wanted."""
    assert level_in_use("amx", None, gives_tiles=False)[0] == "avx512"
    assert level_in_use("amx", "amx", gives_tiles=False)[0] == "avx512"
