"""What tests on a real GPU share."""

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dlplug import ops
from dlplug.errors import BackendError


def _obstacle() -> str:
    """Why none of them can run here; empty where they can."""
    if not torch.cuda.is_available():
        return f"no NVIDIA GPU that torch {torch.__version__} could use"
    rows = [row for row in ops.backends() if row["device"] == "cuda"]
    has_kernels = any(row["backend"] == "native" for row in rows)
    return "" if has_kernels else f"no CUDA library: {rows[0]['reason']}"


OBSTACLE = _obstacle()
# Where a GPU is to be proven, tests that are skipped would pass for a proof.
if OBSTACLE and os.environ.get("DLPLUG_REQUIRE_GPU") == "1":
    raise BackendError(
        f"the tests marked gpu cannot run: {OBSTACLE}",
        where="environment variable DLPLUG_REQUIRE_GPU",
        fix="python -m dlplug doctor tells more; without the variable they are skipped",
    )

needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)]


def assert_replays(run: Callable[[], list[Tensor]]) -> None:
    """A CUDA graph of ``run`` gives the bits that it gives outside of one."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        expected = [tensor.clone() for tensor in run()]
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, found, expected))
