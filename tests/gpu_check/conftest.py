"""What the tests of the check share."""

import time

import pytest

from tests.gpu_check.part import Context


@pytest.fixture
def context(tmp_path):
    """With time enough."""
    wheels = tmp_path / "wheels"
    return Context(tmp_path, tmp_path, wheels, "here", "abc", time.monotonic() + 100, "")
