"""Fixtures of the optimizers' tests."""

import pytest

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
