"""The seeds by which an optimizer's steps draw random bits."""

import torch
from torch import Tensor

# By how much the seed of each step is larger than the last one's, modulo 2^63; odd, so that all
# 2^63 seeds come before one comes again.
NEXT_SEED = 0x9E3779B97F4A7C15


class RandomSeeds:
    """For `dlplug.optim.CompactAdamW`: ``seed`` in a group that rounds by chance."""

    def _set_first_seed(self, index: int) -> None:
        """Give a group a seed, unless it has one."""
        seed = (torch.initial_seed() + index) % 2**63
        self.param_groups[index].setdefault("seed", seed)

    def _draw_seed(self, group: dict) -> int | None:
        """The seed of this step; leaves the next one's. None where the group draws no bits."""
        seed = group.get("seed")
        if seed is None:
            return None
        seed = int(seed)
        group["seed"] = (seed + NEXT_SEED) % 2**63
        return seed

    def _seeds_of_step(
        self, group: dict, parts: list[tuple[int, list[Tensor]]], are_on_device: bool
    ) -> list[int | Tensor | None]:
        """One seed of random bits for all parts of a group; None where it draws none.

        Where the device alone knows whether the step is skipped, or which step it is, the seed lies
        there, too, and the first part's update leaves the next one there.
        """
        seed = group.get("seed")
        if seed is None or not parts:
            return [None] * len(parts)
        if not (are_on_device and self._is_decided_there(group)):
            return [self._draw_seed(group)] * len(parts)
        devices = [params[0].device for _, params in parts]
        if not isinstance(seed, Tensor):
            seed = torch.full((), seed, dtype=torch.int64, device=devices[0])
        group["seed"] = seed = seed.to(devices[0], non_blocking=True)
        return [seed, *[seed.to(device, non_blocking=True) for device in devices[1:]]]

    def _is_decided_there(self, group: dict) -> bool:
        """Whether the device alone knows if the step is skipped, or which step it is."""
        return group["capturable"] or getattr(self, "found_inf", None) is not None
