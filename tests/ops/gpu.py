"""What tests on a real GPU share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dlplug import ops

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        "cuda" not in {row["device"] for row in ops.backends() if row["backend"] == "native"}
        or not torch.cuda.is_available(),
        reason="no NVIDIA GPU, or no CUDA library for this torch: see python -m dlplug doctor",
    ),
]


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
