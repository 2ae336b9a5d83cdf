"""Asks for a GPU on import."""

import torch

from tests.testing.bad.architectures import Good

__all__ = ["Good"]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
