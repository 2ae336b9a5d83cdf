"""Which backend a norm takes, with which dtypes, and what is refused."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, ShapeError
from dlplug.ops import _backend
from tests.ops.norm_cases import (
    EPS,
    Norm,
    each_dtype,
    needs_kernels,
    outputs_of,
)


class NormRouting:
    norm: Norm

    def test_a_weight_on_another_device_is_refused(self):
        """The kernels take no weight of another GPU."""
        with FakeTensorMode():
            inputs = [torch.empty(t.shape, device="cuda:0") for t in self.norm.draw((4, 6))]
            refuse = _backend.OPS[str(self.norm)].refuse
            more = [0.0] if self.norm.has_residual else []
            assert refuse(*inputs, *more) is None
            for index in range(1, len(inputs)):
                for device in ("cuda:1", "cpu"):
                    moved = list(inputs)
                    moved[index] = torch.empty(inputs[index].shape, device=device)
                    assert "on another device" in refuse(*moved, *more)

    @pytest.mark.parametrize("mode", ["auto", "reference"])
    def test_narrow_inputs_take_wide_weights_on_a_gpu(self, mode):
        """float32 weights keep the dtype of 16-bit inputs, where torch wants one dtype."""
        inputs = self.norm.draw((4, 6), torch.bfloat16)
        with FakeTensorMode(), ops.use_backend(mode):
            moved = [
                torch.empty(t.shape, dtype=t.dtype if t.dim() == 2 else None, device="cuda")
                for t in inputs
            ]
            assert ops.explain(self.norm.ours, *moved).backend == "reference"
            outputs = outputs_of(self.norm.ours(*moved, eps=EPS))
        assert [output.dtype for output in outputs] == [torch.bfloat16] * len(outputs)

    @pytest.mark.parametrize("mode", ["auto", "reference"])
    def test_cuda_autocast_gives_float32(self, mode, monkeypatch):
        """Below CUDA autocast y is float32 and h keeps its dtype, as with torch's own ops."""
        if mode == "auto" and self.norm.has_residual:
            pytest.skip("torch's own autocast widens y there, which needs a build with CUDA")
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
        inputs = self.norm.draw((4, 6), torch.bfloat16)
        with FakeTensorMode(), ops.use_backend(mode):
            for dtype in (torch.bfloat16, torch.float32):
                moved = [
                    torch.empty(t.shape, dtype=t.dtype if t.dim() == 2 else dtype, device="cuda")
                    for t in inputs
                ]
                y, *h = outputs_of(self.norm.ours(*moved, eps=EPS))
                assert y.dtype == torch.float32
                assert all(stream.dtype == torch.bfloat16 for stream in h)

    @each_dtype
    def test_autocast_returns_what_torch_returns(self, dtype):
        """Inside autocast the dtypes are those of PyTorch's own ops."""
        inputs = self.norm.draw((300, 100), dtype)
        with torch.autocast("cpu", torch.bfloat16):
            found = outputs_of(self.norm.ours(*inputs, eps=EPS))
            expected = outputs_of(self.norm.torch(*inputs, eps=EPS))
        assert [t.dtype for t in found] == [t.dtype for t in expected]

    @pytest.mark.parametrize("mode", ["auto", "reference", "cpu"])
    @pytest.mark.parametrize("rows", [2, 500])
    def test_wrong_arguments_are_named_alike_on_every_backend(self, mode, rows):
        """A bad shape or dtype gives the same error, whatever the backend and the size."""
        inputs = self.norm.draw((rows, 60))
        weight = 2 if self.norm.has_residual else 1
        short = [*inputs[:weight], inputs[weight][:-1]]
        wide = [*inputs[:weight], inputs[weight].double()]
        whole = [t.long() for t in inputs]
        name = str(self.norm)
        with ops.use_backend(mode):
            with pytest.raises(ShapeError, match=rf"{name}: weight .*\(60,\).*got \(59,\)"):
                self.norm.ours(*short)
            with pytest.raises(DtypeError, match=f"{name}: weight must be torch.float32.*float64"):
                self.norm.ours(*wide)
            with pytest.raises(DtypeError, match=f"{name}: x must be floating point.*int64"):
                self.norm.ours(*whole)
            if self.norm.has_residual:
                with pytest.raises(ShapeError, match=f"{name}: residual must have x's shape"):
                    self.norm.ours(inputs[0], inputs[1][:1])

    @needs_kernels
    def test_an_explicit_backend_never_falls_back(self):
        """`cpu` refuses float64 with the reason instead of falling back."""
        inputs = [t.double() for t in self.norm.draw((5, 6))]
        with ops.use_backend("cpu"), pytest.raises(BackendError, match="float64 is not"):
            self.norm.ours(*inputs)
        with ops.use_backend("cuda"), pytest.raises(BackendError, match="the tensor is on cpu"):
            self.norm.ours(*self.norm.draw((5, 6)))

    @needs_kernels
    @each_dtype
    def test_what_is_worth_a_kernel_is_not_left_to_torch(self, dtype):
        """From 4096 rows of 768 on, with gradients and without."""
        inputs = self.norm.draw((4096, 768), dtype)
        for needs_gradients in (False, True):
            leaves = [t.requires_grad_(needs_gradients) for t in inputs]
            assert ops.explain(self.norm.ours, *leaves).backend == "cpu"
