"""Fixtures of all tests: what a shell may have set is taken away, and every load is watched."""

import functools
import gc
import os
import sys
import warnings
from collections import Counter

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from tests.plugin.fakes import fake_distribution, private_memory
from tests.testing.forked_report import forked_report

__all__ = ["fake_distribution", "forked_report", "private_memory"]

SETTINGS = (
    "DLPLUG_ALLOW",
    "DLPLUG_ATTENTION",
    "DLPLUG_BACKEND",
    "DLPLUG_BLOCK",
    "DLPLUG_CPU_ISA",
    "DLPLUG_TRACEBACK",
)
INHERITED = ("HOME", "PATH", "PYTHONPATH", "TMPDIR", "XDG_CACHE_HOME", *SETTINGS)


def pytest_collection_modifyitems(items):
    """Modules with slow tests first, then those with many, so that no process ends alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -sizes[item.path]))


def pytest_collection_finish():
    """What the imports have made stays: no collection of garbage goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def inherited():
    """What programs started by a test inherit is the same after each module as before it."""
    before = {name: os.environ.get(name) for name in INHERITED}
    yield
    after = {name: os.environ.get(name) for name in INHERITED}
    assert after == before, "a test has changed the environment of those that come after it"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """No test depends on what the environment says about dlplug."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def loads(monkeypatch):
    """Every torch.load of a test, Lightning's own included, says ``weights_only=True``.

    Gives the arguments of the calls that did not. They fail where they stand, and again at the end
    of the test, since the code that called may have dealt with the failure.
    """
    original, unsafe = torch.load, []

    @functools.wraps(original)
    def load(*arguments, **keywords):
        # How torch copies a tensor by Python's pickle, as between two processes: no file is read.
        is_copy = sys._getframe(1).f_code is torch.storage._load_from_bytes.__code__
        if keywords.get("weights_only") is not True and not is_copy:
            unsafe.append(keywords)
            raise AssertionError("torch.load without weights_only=True")
        return original(*arguments, **keywords)

    monkeypatch.setattr(torch, "load", load)
    yield unsafe
    assert not unsafe, f"torch.load without weights_only=True, but {unsafe}"


@pytest.fixture
def compiler():
    """A fresh compiler, without its notes on profiler ranges, TorchScript and TF32."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        # It leaves out the ranges that an optimizer's step marks for a profiler, and says so.
        warnings.filterwarnings("ignore", "Profiler record function", UserWarning)
        # torch.utils.mkldnn, which the compiler imports, is still written in TorchScript.
        warnings.filterwarnings("ignore", "`torch.jit.script_method` is dep", DeprecationWarning)
        # A GPU has them, and these tests compare in float32.
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores for float", UserWarning)
        yield


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """One process that believes to be a group."""
    store = dist.FileStore(str(tmp_path_factory.mktemp("group") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()
