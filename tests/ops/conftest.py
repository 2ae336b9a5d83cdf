"""Fixtures of the ops' tests."""

import pytest
import torch

from dlplug import ops


@pytest.fixture
def cpu_kernels():
    """A call that the kernels do not take is an error, so that no test passes by falling back."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    with ops.use_backend("cpu"):
        yield


@pytest.fixture
def one_thread():
    """Waking threads for a few elements takes longer than the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
