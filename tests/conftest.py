"""Fixtures of all tests: the surroundings that a shell may have set are taken away."""

import pytest

from tests.plugin.fakes import fake_distribution, private_memory

__all__ = ["fake_distribution", "private_memory"]

SETTINGS = (
    "DLPLUG_ALLOW",
    "DLPLUG_BACKEND",
    "DLPLUG_BLOCK",
    "DLPLUG_CPU_ISA",
    "DLPLUG_TRACEBACK",
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """No test depends on what the environment says about dlplug."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
