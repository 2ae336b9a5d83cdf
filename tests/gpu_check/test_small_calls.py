"""The calls that compute-sanitizer sees."""

import pytest
import torch

from dlplug import ops
from dlplug.ops import _library
from dlplug.ops._backend import OPS
from tests.gpu_check import small_calls


@pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")
def test_they_reach_every_kernel(capsys, monkeypatch):
    """On the processor, by the same lines; those for a GPU alone are called in the emulation."""
    reached, call = set(), _library.Kernel.__call__

    def recording(kernel, *args):
        reached.add(kernel.name)
        return call(kernel, *args)

    monkeypatch.setattr(_library.Kernel, "__call__", recording)
    small_calls.main("cpu")
    assert "calls on cpu" in capsys.readouterr().out
    on_cpu = {kernel.name for op in OPS.values() for kernel in op.kernels_for("cpu")}
    # AdamW calls its operators themselves.
    assert on_cpu - reached == {"adamw_", "adamw_tables_"}


def test_a_call_without_a_kernel_is_an_error(monkeypatch):
    """A sanitizer finds nothing in PyTorch's own kernels."""
    modes = []

    def selected(device):
        modes.append({row["reason"] for row in ops.backends()})
        return 0

    for name in ("norms", "optimizers", "attentions", "hopper_attentions"):
        monkeypatch.setattr(small_calls, name, selected)
    small_calls.main("cpu")
    assert len(modes) == 4 and all("the backend 'cpu' is selected" in found for found in modes)


def test_few_queries_and_tf32_are_among_them(monkeypatch):
    """Kernels of their own; the emulation's tests hold what they compute."""
    seen = set()

    def attend(batch, queries, keys, width, dtype, device, **features):
        is_tf32 = torch.backends.cuda.matmul.allow_tf32
        seen.add((queries <= 16 and keys >= 256, dtype == torch.float32 and is_tf32))

    monkeypatch.setattr(small_calls, "attend", attend)
    small_calls.attentions("cpu")
    assert seen == {(False, False), (True, False), (False, True), (True, True)}


@pytest.mark.parametrize("backward", [False, True])
def test_rows_just_below_48_kib_are_among_them(backward):
    """Of 16-bit numbers, which a kernel keeps in shared memory: forward once, backward twice."""
    bytes_of = 4 if backward else 2
    assert any(48 * 1024 - 64 <= width * bytes_of < 48 * 1024 for width in small_calls.WIDTHS)
