"""The rules, one file for each family, imported in the order in which they are asked."""

from dlplug.testing.rules import (  # noqa: I001 - the order of the questions
    loading,
    presets,
    describing,
    building,
    architectures,
    losses,
    metrics,
    optimizing,
    transforms,
    datamodules,
    copying,
    repeating,
    training,
)

__all__ = [
    "architectures",
    "building",
    "copying",
    "datamodules",
    "describing",
    "loading",
    "losses",
    "metrics",
    "optimizing",
    "presets",
    "repeating",
    "training",
    "transforms",
]
