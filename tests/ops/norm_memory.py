"""Norms of tensors of any layout, what they write, and what the bits depend on."""

import pytest
import torch

from dlplug import ops
from tests.ops.norm_cases import (
    EPS,
    SHAPES,
    Norm,
    each_dtype,
    each_isa,
    needs_kernels,
    outputs_and_gradients,
    outputs_of,
)


class NormMemory:
    norm: Norm

    @needs_kernels
    @each_dtype
    @each_isa
    @pytest.mark.parametrize("width", [192, 48, 16], ids="width {}".format)
    def test_streamed_outputs_are_the_same(self, isa, dtype, width):
        """Outputs of more than 4 MiB are written past the caches, and equal those of few rows.

        Rows of 48 and 16 float32 are an odd number of AVX-512 vectors.
        """
        few = self.norm.draw((125, width), dtype)
        copies = (4 << 20) // few[0].nbytes + 1
        many = [t.repeat(copies, 1) if t.dim() == 2 else t for t in few]
        assert many[0].nbytes > 4 << 20
        grads = torch.ones_like(few[0]), torch.ones_like(many[0])
        results = []
        with ops.use_backend("cpu"), ops.use_isa(isa):
            for inputs, grad in zip((few, many), grads, strict=True):
                leaves = [t.requires_grad_() for t in inputs]
                outputs = outputs_of(self.norm.ours(*leaves, eps=EPS))
                rows = torch.autograd.grad(outputs, leaves, [grad] * len(outputs))
                results.append([*outputs, *(t for t in rows if t.dim() == 2)])
        for once, repeated in zip(*results, strict=True):
            assert torch.equal(once.repeat(copies, 1), repeated)

    @needs_kernels
    @each_dtype
    def test_any_strides_give_the_contiguous_result(self, dtype):
        """Slices, transposes, expanded, misaligned inputs and gradients equal their copies."""
        layouts = {
            "row stride": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
            "columns": lambda x: x.repeat_interleave(2, -1)[..., ::2],
            "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
            "misaligned": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape),
            "first axes swapped": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        }
        inputs = self.norm.draw((6, 5, 24), dtype)
        with ops.use_backend("cpu"):
            expected = outputs_of(self.norm.ours(*inputs, eps=EPS))
            for name, layout in layouts.items():
                views = [layout(t) if t.dim() == 3 else t for t in inputs]
                leaves = [view.requires_grad_() for view in views]
                found = outputs_of(self.norm.ours(*leaves, eps=EPS))
                grads = [layout(torch.ones_like(output)) for output in found]
                assert all(output.is_contiguous() for output in found), name
                torch.testing.assert_close(found, expected, rtol=0, atol=0, msg=name)
                strided = torch.autograd.grad(found, leaves, grads, retain_graph=True)
                plain = torch.autograd.grad(found, leaves, [g.contiguous() for g in grads])
                torch.testing.assert_close(strided, plain, rtol=0, atol=0, msg=name)

    @needs_kernels
    def test_expanded_rows_are_read_with_stride_0(self):
        """An expanded input equals its copy, and its gradient is summed."""
        inputs = self.norm.draw((1, 40))
        with ops.use_backend("cpu"):
            wide = [t.expand(7, 40) if t.dim() == 2 else t for t in inputs]
            found = outputs_of(self.norm.ours(*wide, eps=EPS))
            copied = outputs_of(self.norm.ours(*[t.clone() for t in wide], eps=EPS))
        torch.testing.assert_close(found, copied, rtol=0, atol=0)

    @needs_kernels
    @each_isa
    @each_dtype
    def test_every_element_is_written(self, isa, dtype):
        """Outputs that begin as NaN hold none afterwards, streamed or not, with any tail."""
        with poisoned_memory(), ops.use_backend("cpu"), ops.use_isa(isa):
            assert torch.empty(1).isnan()
            for shape in [*SHAPES, (5500 * 4 // dtype.itemsize, 192)]:
                for tensor in outputs_and_gradients(self.norm.ours, self.norm.draw(shape, dtype)):
                    assert not tensor.isnan().any(), shape

    @needs_kernels
    @each_dtype
    def test_any_number_of_threads_gives_the_same_bits(self, dtype):
        """1, 2 and 3 threads agree bit for bit, gradients of weight and bias included."""
        inputs = self.norm.draw((1003, 70), dtype)
        before = torch.get_num_threads()
        results = []
        try:
            with ops.use_backend("cpu"):
                for threads in (1, 2, 3):
                    torch.set_num_threads(threads)
                    results.append(outputs_and_gradients(self.norm.ours, inputs))
        finally:
            torch.set_num_threads(before)
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))

    @needs_kernels
    @each_dtype
    @each_isa
    @pytest.mark.parametrize("width", [5, 48, 192, 520, 1100], ids="width {}".format)
    def test_rows_alone_have_the_same_bits(self, isa, dtype, width):
        """Whether rows go through in groups or one by one, outputs and gradients are the same."""
        inputs = self.norm.draw((7, width), dtype)

        def results(rows: slice):
            leaves = [t[rows] if t.dim() == 2 else t for t in inputs]
            leaves = [t.detach().requires_grad_() for t in leaves]
            outputs = outputs_of(self.norm.ours(*leaves, eps=EPS))
            grads = torch.autograd.grad(outputs, leaves, [t.detach().cos() for t in outputs])
            return [t for t in (*outputs, *grads) if t.dim() == 2]

        with ops.use_backend("cpu"), ops.use_isa(isa):
            together = results(slice(None))
            for row in range(7):
                alone = results(slice(row, row + 1))
                for of_all, of_one in zip(together, alone, strict=True):
                    assert torch.equal(of_all[row : row + 1], of_one)

    def test_outputs_are_contiguous_on_every_route(self):
        """Transposed inputs give contiguous outputs, whoever computes them."""
        for dtype in (torch.float32, torch.float64):
            for shape in ((6, 5, 4), (6, 5, 600)):
                inputs = self.norm.draw(shape, dtype)
                inputs = [
                    t.transpose(0, 1).contiguous().mT.contiguous().mT.transpose(0, 1)
                    if t.dim() == 3
                    else t
                    for t in inputs
                ]
                for mode in ("auto", "reference"):
                    with ops.use_backend(mode):
                        outputs = outputs_of(self.norm.ours(*inputs, eps=EPS))
                    assert all(output.is_contiguous() for output in outputs), (dtype, shape, mode)

    @needs_kernels
    def test_as_many_axes_as_torch_has(self):
        """Inputs may have up to 64 axes."""
        inputs = self.norm.draw((20, 30))
        many = [t.view(*[1] * 62, 20, 30) if t.dim() == 2 else t for t in inputs]
        with ops.use_backend("cpu"):
            found = outputs_of(self.norm.ours(*many, eps=EPS))
            expected = outputs_of(self.norm.ours(*inputs, eps=EPS))
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.view(20, 30), other)

    @needs_kernels
    def test_a_direct_call_with_wrong_statistics_is_refused(self):
        """The backward op itself takes contiguous float32 statistics of the right size only."""
        x, *_, weight = inputs = self.norm.draw((4, 6))[: -1 if self.norm.has_bias else None]
        rows = [weight, weight] if self.norm.has_bias else [weight]
        backward = getattr(torch.ops.dlplug, self.norm.kernel.replace("forward", "backward"))
        count = 2 if self.norm.has_bias else 1
        good = torch.ones(count, 4)

        def call(stats):
            if self.norm.has_residual:
                return backward(x, None, x, *rows, stats, None, 0.0, x.dtype, True)
            return backward(x, inputs[0], *rows, stats, True)

        assert all(grad.isfinite().all() for grad in call(good))
        for bad in (good.double(), good[:, :3], good.repeat(1, 2)[:, ::2], good.bfloat16()):
            with pytest.raises(RuntimeError, match="stats must be contiguous float32"):
                call(bad)


class poisoned_memory:
    """Uninitialised tensors hold NaN inside the block."""

    def __enter__(self):
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *_):
        torch.use_deterministic_algorithms(False)
