"""Benchmarks: fused ops beside PyTorch's own, never part of a test's verdict."""
