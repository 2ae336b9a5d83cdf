"""What the emulation of CUDA finds, and what it computes of sound kernels."""

import ctypes
import functools

import pytest

from tests.ops.emulation import build, needs_emulation

pytestmark = needs_emulation
# Numbers of `cases` in emulated_faults.cpp.
SUM, RACE, SHUFFLES, PRODUCT, COPIES, CLUSTER = 0, 1, 9, 12, 13, 14
FAULTS = {
    2: "threads of a block meet at",
    3: "for others that do not come; 1 of 40 have ended",
    4: "for others that do not come; 16 of 32 have ended",
    5: "from a lane that takes no part",
    6: "shared memory was written past its 64 bytes",
    7: "a block of 32 x 33 x 1 threads",
    8: "a grid of 1 x 65536 x 1 blocks",
    10: "misaligned access at emulated_faults.cpp",
    11: "a warp cut short at",
    15: "blocks of a cluster do not meet at",
    16: "a cluster of 8 blocks of 12",
}
TOO_MUCH_SHARED_MEMORY = 17


@functools.cache
def faults() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build("dlplug_emulated_faults")))
    library.run_case.restype = ctypes.c_char_p
    return library


def run(case: int, order: int = 0) -> tuple[str, list[int]]:
    """What was found, and what the kernel wrote."""
    memory = ctypes.create_string_buffer(4 * 132)
    begin = -ctypes.addressof(memory) % 16
    out = (ctypes.c_int * 128).from_buffer(memory, begin)
    out[:] = [-1] * 128
    faults().dlplug_emulation_order(ctypes.c_uint64(order))
    return faults().run_case(case, out).decode(), list(out)


@pytest.mark.parametrize("case", FAULTS)
@pytest.mark.parametrize("order", [0, 1, 5])
def test_faults_are_found(case, order):
    """Threads that part, lanes that are not there, misaligned memory, what is out of bounds."""
    found, _ = run(case, order)
    assert found.startswith("emulated CUDA: ") and FAULTS[case] in found


def test_shared_memory_is_asked_for():
    """All 48 KiB of a block are too much of it: a kernel has static shared memory besides."""
    assert run(TOO_MUCH_SHARED_MEMORY)[0] == "invalid argument"


@pytest.mark.parametrize("order", [0, 1, 5])
def test_blocks_threads_and_barriers(order):
    """Every block of a grid runs, in three axes, and its threads see what they wrote before."""
    found, out = run(SUM, order)
    assert found == "" and out[:6] == [sum(range(128))] * 6 and out[6] == -1


def test_a_race_shows_in_another_order():
    """A barrier that is missing changes the result when threads take turns backwards."""
    results = [run(RACE, order) for order in (0, 1, 5)]
    assert [found for found, _ in results] == ["", "", ""]
    assert len({tuple(out[:2]) for _, out in results}) > 1


def test_shuffles_and_votes():
    """Sums by halves, another lane's value, one further down, and a vote."""
    found, out = run(SHUFFLES)
    assert found == ""
    for lane in range(32):
        below = lane + 2 if lane < 30 else lane
        assert out[4 * lane : 4 * lane + 4] == [-1, 3, below, -0x55555556]


def test_the_lanes_of_a_warp_work_together():
    """16 ones times 16 ones, summed by an instruction of 32 lanes."""
    found, out = run(PRODUCT)
    assert found == "" and out == [16] * 128


@pytest.mark.parametrize("order", [0, 1])
def test_a_copy_that_is_not_waited_for_is_not_there(order):
    """Shared memory keeps what it had, a NaN, though the threads have met."""
    found, out = run(COPIES, order)
    assert found == "" and out[:2] == [-1, 6] and out[4:6] == [-1, 5]


@pytest.mark.parametrize("order", [0, 1, 5])
def test_the_blocks_of_a_cluster_are_there_together(order):
    """Each has the sums of eight, and two clusters do not mix."""
    found, out = run(CLUSTER, order)
    assert found == "" and out[:48] == [36, 116, 196] * 16 and out[48] == -1


def test_a_device_without_clusters_launches_none():
    """As GPUs before Hopper."""
    set_device = faults().dlplug_emulation_device
    set_device(ctypes.c_uint64(227 << 10), 0)
    try:
        assert run(CLUSTER)[0] == "emulated CUDA: this device has no clusters"
        assert run(SUM)[0] == ""
    finally:
        set_device(ctypes.c_uint64(227 << 10), 1)
