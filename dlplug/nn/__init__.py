"""Modules over the fused ops, drop-in for those of ``torch.nn``."""

from dlplug.nn.layer_norm import LayerNorm
from dlplug.nn.multihead_attention import MultiheadAttention
from dlplug.nn.rms_norm import RMSNorm

__all__ = ["LayerNorm", "MultiheadAttention", "RMSNorm"]
