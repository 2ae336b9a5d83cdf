"""Optimizers over fused ops, and what they are given. Needs torch alone."""

from dlplug.optim.adamw import FusedAdamW
from dlplug.optim.compact_adamw import CompactAdamW
from dlplug.optim.parameter_groups import weight_decay_groups

__all__ = ["CompactAdamW", "FusedAdamW", "weight_decay_groups"]
