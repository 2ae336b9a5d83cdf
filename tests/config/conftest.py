"""Fixtures of the config tests."""

from tests.config.toys import experiment, toys
from tests.plugin.fakes import fake_distribution, private_memory

__all__ = ["experiment", "fake_distribution", "private_memory", "toys"]
