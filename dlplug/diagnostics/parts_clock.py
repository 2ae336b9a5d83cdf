"""The time of a training by what it is spent on."""

import time
from collections import defaultdict

import torch
from lightning.pytorch.profilers import Profiler

BATCH = "run_training_batch"
PARTS = ("data", "transfer", "forward", "backward", "optimizer", "callbacks", "rest")
# Lightning's own names of what it does, looked for in this order.
MARKS = (
    ("dataloader_next", "data"),
    ("batch_to_device", "transfer"),
    ("batch_transfer", "transfer"),
    ("[Callback]", "callbacks"),
    ("training_step", "forward"),
    ("backward", "backward"),
    ("optimizer", "optimizer"),
    ("gradient_clipping", "optimizer"),
    ("lr_scheduler_step", "optimizer"),
)


class PartsClock(Profiler):
    """Time of each part by itself, without the parts within it, after the first steps.

    On a GPU it waits for the work of each part, which costs what the overlap of parts saves.

    Args:
        warm_up: Batches before the clock counts.
    """

    def __init__(self, warm_up: int):
        super().__init__()
        self.warm_up = warm_up
        self.batches = 0
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._open: list[tuple[str, float, float]] = []
        self._pending: dict[str, float] = defaultdict(float)

    def start(self, action_name: str) -> None:
        """Lightning begins something."""
        self._open.append((part_of(action_name), self._now(), 0.0))

    def stop(self, action_name: str) -> None:
        """Lightning ends it; what was within is taken off."""
        if not self._open:
            return
        part, started, within = self._open.pop()
        took = self._now() - started
        if self._open and part != "outer":
            outer, outer_start, outer_within = self._open[-1]
            self._open[-1] = (outer, outer_start, outer_within + took)
        if part != "outer":
            self._pending[part] += took - within
        if action_name == BATCH:
            self.batches += 1
            if self.batches > self.warm_up:
                for name, seconds in self._pending.items():
                    self.seconds[name] += seconds
            self._pending.clear()

    def _now(self) -> float:
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()


def part_of(action: str) -> str:
    """Which part an action of Lightning's belongs to; ``outer`` for what holds all of them."""
    if action in ("run_training_epoch",):
        return "outer"
    return next((part for mark, part in MARKS if mark in action), "rest")
