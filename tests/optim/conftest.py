"""Fixtures of the optimizers' tests."""

import warnings

import pytest
import torch

import dlplug.optim.adamw as module


@pytest.fixture
def calls(monkeypatch):
    """Which code updates parameters: ``kernel``, or PyTorch's with its foreach and fused flags."""
    seen = []

    def record(name, entry_of):
        function = getattr(module, name)

        def recording(*args, **kwargs):
            seen.append(entry_of(*args, **kwargs))
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, recording)

    record("update", lambda *args, **kwargs: "kernel")
    record("torch_adamw", lambda *args, **kwargs: (kwargs["foreach"], kwargs["fused"]))
    return seen


@pytest.fixture
def compiler():
    """A fresh compiler, without its notes on profiler ranges and TorchScript."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Profiler record function", UserWarning)
        # torch.utils.mkldnn, which the compiler imports, is still written in TorchScript.
        warnings.filterwarnings("ignore", "`torch.jit.script_method` is dep", DeprecationWarning)
        yield
