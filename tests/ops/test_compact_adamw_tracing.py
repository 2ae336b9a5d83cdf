"""AdamW with compact states in compiled graphs."""

import pytest
import torch

from dlplug import ops
from dlplug.ops.fallback.compact_adamw import STORAGES
from tests.ops.adamw_cases import OPTIONS
from tests.ops.test_compact_adamw import make


@pytest.mark.parametrize("storage", STORAGES)
def test_a_full_graph_does_what_the_reference_does(storage):
    """There the call is PyTorch's own operations, which a compiler may fuse."""
    shapes = [(5,), (3, 2)]
    found, expected = make(storage, shapes=shapes), make(storage, shapes=shapes)
    step = torch.compile(ops.compact_adamw_, fullgraph=True, backend="eager")
    for run, mode in ((step, "auto"), (ops.compact_adamw_, "reference")):
        lists = found if run is step else expected
        torch.manual_seed(1)
        with ops.use_backend(mode):
            run(*lists, storage=storage, **OPTIONS)
    torch.testing.assert_close(found[0], expected[0])
    for mine, reference in zip(found[2], expected[2], strict=True):
        # The compiler keeps 1 - beta with one digit more or less.
        torch.testing.assert_close(mine, reference, rtol=1e-6, atol=0)
