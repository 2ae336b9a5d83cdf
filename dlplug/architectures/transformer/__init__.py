"""Transformer of sequences: blocks of attention with rotary positions, in three short files."""

from dlplug.architectures.transformer.model import Transformer

__all__ = ["Transformer"]
