"""Tests of dlplug/ops/_device_table.py, on the emulation of ``csrc/emulation``."""

from array import array
from unittest.mock import patch

import pytest
import torch

from dlplug.ops import _device_table
from dlplug.ops._device_table import STRIDE, DeviceTable
from tests.ops.emulation import emulated, needs_emulation

pytestmark = needs_emulation
CPU = torch.device("cpu")
PART = STRIDE // 8  # numbers of one launch


@pytest.fixture
def writes():
    """Where each write began, and how many numbers it had."""
    seen = []
    with emulated():
        write = _device_table._write.op

        def noted(table, numbers, begin):
            seen.append((begin, numbers.numel()))
            write(table, numbers, begin)

        with patch.object(_device_table._write, "op", noted):
            yield seen


@pytest.mark.parametrize("count", [1, PART - 1, PART, PART + 1, 5 * PART + 7])
def test_a_table_holds_its_numbers(count, writes):
    """In as many launches as they need."""
    numbers = array("q", [i * 2**33 - 5 for i in range(count)])
    assert DeviceTable().holding(numbers, CPU).tolist() == numbers.tolist()
    assert writes == [(0, count)]


def test_only_what_changes_is_written(writes):
    """Nothing for the same numbers; the launch that has the new one; all for another length."""
    table, numbers = DeviceTable(), array("q", range(3 * PART))
    first = table.holding(numbers, CPU)
    assert table.holding(array("q", numbers), CPU) is first
    numbers[2 * PART] = -7
    assert table.holding(numbers, CPU) is first
    assert first.tolist() == numbers.tolist()
    numbers.append(1)
    assert table.holding(numbers, CPU).tolist() == numbers.tolist()
    assert writes == [(0, 3 * PART), (2 * PART, PART), (0, 3 * PART + 1)]


def test_a_graph_has_a_table_of_its_own(writes):
    """It is written in full, and what lies outside of the graph stays known."""
    table, numbers = DeviceTable(), array("q", range(9))
    outside = table.holding(numbers, CPU)
    with patch.object(_device_table, "is_capturing", lambda _: True):
        inside = table.holding(numbers, CPU)
    assert inside is not outside and inside.tolist() == outside.tolist()
    assert table.holding(numbers, CPU) is outside
    assert len(writes) == 2
