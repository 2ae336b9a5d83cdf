"""The rows of all ops, chosen by words, and a run over them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from dlplug.bench import adamw, attention, norms, optimizer_phase
from dlplug.bench.allocator import DEFAULT, settings
from dlplug.bench.device import CPU, CUDA, measuring_on
from dlplug.bench.measure import measure
from dlplug.bench.one_row import measure_apart
from dlplug.bench.row import Row
from dlplug.bench.verdict import FAILED, outcome

FAMILIES = (adamw, optimizer_phase, norms, attention)
SECONDS, QUICK_SECONDS = 1.0, 0.2  # for the rounds of a row


def rows(device: str = CPU) -> Iterator[Row]:
    """Every row for ``device``, ``cpu`` or ``cuda``, family by family."""
    for family in FAMILIES:
        yield from family.rows(device)


def chosen(only: Iterable[str] = (), is_quick: bool = False, device: str = CPU) -> list[Row]:
    """Rows whose names contain every word of one of the texts.

    Args:
        only: Texts such as ``layer_norm bfloat16``; nothing for all rows.
        is_quick: Take those of the small set alone.
        device: ``cpu`` or ``cuda``.
    """
    texts = [text.split() for text in only]
    return [
        row
        for row in rows(device)
        if (row.is_quick or not is_quick)
        and (not texts or any(all(word in row.name for word in words) for words in texts))
    ]


def left(
    rows: list[Row], threads: list[int], device: str, results: list[dict[str, Any]]
) -> list[Row]:
    """Those of ``rows`` that failed or are not in ``results``, with any threads or allocator."""
    keys = ("row", "device", "threads", "allocator")
    fine = [result for result in results if outcome(result) != FAILED]
    done = {tuple(result[key] for key in keys) for result in fine}

    def wanted(row: Row) -> set[tuple]:
        allocators = (DEFAULT,) if device == CUDA else settings(row.allocators)
        return {(row.name, device, *both) for both in product(threads, allocators)}

    return [row for row in rows if not wanted(row) <= done]


def run(
    rows: list[Row], threads: list[int], is_quick: bool, device: str = CPU
) -> Iterator[dict[str, Any]]:
    """Measure rows one after the other, each with every number of threads.

    Args:
        rows: Which.
        threads: Numbers of threads of the processor.
        is_quick: Take less time for each, and do not wait for compiled peers.
        device: ``cpu`` or ``cuda``.
    Yields:
        What `dlplug.bench.measure.measure` gives, one by one.
    """
    before = torch.get_num_threads()
    seconds = QUICK_SECONDS if is_quick else SECONDS
    try:
        for row, count in product(rows, threads):
            torch.set_num_threads(count)
            with measuring_on(device):
                first, *others = settings(row.allocators)
                yield from measure(replace(row, allocators=(first,)), seconds, not is_quick)
                for _ in others:
                    yield measure_apart(row, seconds, not is_quick)
    finally:
        torch.set_num_threads(before)


def title(result: dict[str, Any]) -> str:
    """Row, and for a processor threads, and the allocator where it is not the usual one."""
    if result["device"] == CUDA:
        return result["row"]
    allocator = f", {result['allocator']} allocator" if result["allocator"] == "default" else ""
    threads = f"{result['threads']} thread{'s' * (result['threads'] > 1)}"
    return f"{result['row']}, {threads}{allocator}"
