"""Fixtures of the optimizers' tests."""

import pytest
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from dlplug.optim import _by_kernel, _by_torch, _known_step


@pytest.fixture
def calls(monkeypatch):
    """Which code updates parameters: ``kernel``, or PyTorch's with its foreach and fused flags."""
    seen = []

    def record(module, name, entry_of):
        function = getattr(module, name)

        def recording(*args, **kwargs):
            seen.append(entry_of(*args, **kwargs))
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, recording)

    record(_by_kernel, "update", lambda *args, **kwargs: "kernel")
    record(_known_step.KnownStep, "_update_tables", lambda *args, **kwargs: "kernel")
    record(_by_torch, "torch_adamw", lambda *args, **kwargs: (kwargs["foreach"], kwargs["fused"]))
    return seen


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """One process that believes to be a group."""
    store = dist.FileStore(str(tmp_path_factory.mktemp("group") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()
