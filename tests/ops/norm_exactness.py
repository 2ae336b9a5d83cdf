"""Results of the norms, compared with PyTorch's and with the reference."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlplug import ops
from tests.ops.norm_cases import (
    DTYPES,
    EMPTY,
    EPS,
    SHAPES,
    Norm,
    assert_as_good_as_torch,
    each_dtype,
    each_isa,
    error,
    needs_kernels,
    outputs_and_gradients,
    outputs_of,
)


class NormExactness:
    norm: Norm

    @needs_kernels
    @each_dtype
    @each_isa
    def test_is_at_least_half_as_exact_as_torch(self, isa, dtype):
        """Outputs and gradients stay within twice PyTorch's error, at widths around each loop."""
        with ops.use_backend("cpu"), ops.use_isa(isa):
            assert_as_good_as_torch(self.norm, SHAPES + EMPTY, dtype)

    @needs_kernels
    @each_isa
    def test_sums_over_many_rows_are_as_exact(self, isa):
        """Gradients of weight and bias keep their digits over thousands of rows."""
        with ops.use_backend("cpu"), ops.use_isa(isa):
            assert_as_good_as_torch(self.norm, [(6001, 40)])

    @needs_kernels
    @each_isa
    @each_dtype
    @pytest.mark.parametrize("far", ["rows", "first column"])
    def test_numbers_far_from_0_cost_no_accuracy(self, isa, dtype, far):
        """Rows far from 0, and rows whose first number is, lose no more digits than in PyTorch."""
        inputs = self.norm.draw((40, 300), dtype)
        inputs[0][:, : 1 if far == "first column" else None] += 1000
        true, theirs = (
            outputs_and_gradients(function, [t.to(wide) for t in inputs])
            for function, wide in (
                (self.norm.reference, torch.float64),
                (self.norm.torch, dtype),
            )
        )
        with ops.use_backend("cpu"), ops.use_isa(isa):
            mine = outputs_and_gradients(self.norm.ours, inputs)
        for ours, peer, exact in zip(mine, theirs, true, strict=True):
            if exact.dim() == 2:  # what depends on one row
                ulp = torch.finfo(dtype).eps * exact.abs().max().item()
                if exact is true[0] and far == "rows" and dtype == torch.float32:
                    ulp = 0  # y in float32 has no rounding to spare
                assert error(ours, exact) <= 2 * error(peer, exact) + ulp

    @needs_kernels
    @each_isa
    @each_dtype
    def test_special_values_spread_as_in_torch(self, isa, dtype):
        """NaN and infinity reach the same elements; denormals are neither flushed nor refused."""
        inputs = self.norm.draw((8, 37), dtype)
        x = inputs[0]
        x[0, 3], x[1, 36], x[2, 0] = float("nan"), float("inf"), float("-inf")
        x[3] = torch.finfo(dtype).smallest_normal / 4
        x[4], x[5] = 0, 3
        with ops.use_backend("cpu"), ops.use_isa(isa):
            found = outputs_and_gradients(self.norm.ours, inputs)
        expected = outputs_and_gradients(self.norm.torch, inputs)
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine.isnan(), theirs.isnan())
            assert torch.equal(mine.isinf(), theirs.isinf())
            finite = theirs.isfinite()
            torch.testing.assert_close(mine[finite], theirs[finite], rtol=0.04, atol=0.08)

    @needs_kernels
    @each_dtype
    def test_narrow_inputs_take_wide_weights(self, dtype):
        """float32 weights go with 16-bit inputs, and their gradients are float32."""
        if dtype == torch.float32:
            pytest.skip("float32 weights are no wider than float32 inputs")
        inputs = self.norm.draw((20, 33), dtype)
        inputs = [t.float() if t.dim() == 1 else t for t in inputs]
        with ops.use_backend("cpu"):
            found = outputs_and_gradients(self.norm.ours, inputs)
        expected = outputs_and_gradients(self.norm.reference, inputs)
        for mine, theirs in zip(found, expected, strict=True):
            tolerance = 4 * torch.finfo(mine.dtype).eps * theirs.abs().max().item()
            torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)

    @needs_kernels
    def test_missing_and_frozen_weights(self):
        """Weight and bias may be absent or not require a gradient; x's gradient is the same."""
        first = 2 if self.norm.has_residual else 1
        data = self.norm.draw((40, 20))[:first]
        with ops.use_backend("cpu"):
            found = outputs_and_gradients(self.norm.ours, data)
        expected = outputs_and_gradients(self.norm.reference, [t.double() for t in data])
        for mine, true in zip(found, expected, strict=True):
            torch.testing.assert_close(mine.double(), true, rtol=1e-5, atol=1e-5)
        inputs = self.norm.draw((40, 20))
        for chosen in range(len(inputs)):
            leaves = [t.clone().requires_grad_(i == chosen) for i, t in enumerate(inputs)]
            with ops.use_backend("cpu"):
                output = outputs_of(self.norm.ours(*leaves, eps=EPS))[0]
                (alone,) = torch.autograd.grad(output.sin().sum(), leaves[chosen])
                leaves = [t.clone().requires_grad_() for t in inputs]
                output = outputs_of(self.norm.ours(*leaves, eps=EPS))[0]
                together = torch.autograd.grad(output.sin().sum(), leaves)[chosen]
            assert torch.equal(alone, together)

    def test_the_reference_has_the_right_gradients(self):
        """First and second derivatives of the float64 reference agree with differences."""
        inputs = [t.double().requires_grad_() for t in self.norm.draw((3, 2, 5))]
        assert torch.autograd.gradcheck(self.norm.reference, inputs)
        assert torch.autograd.gradgradcheck(self.norm.reference, inputs)

    def test_float64_goes_to_torch_and_keeps_its_digits(self):
        """No kernel takes float64; the result is still exact."""
        inputs = [t.double() for t in self.norm.draw((200, 150))]
        assert ops.explain(self.norm.ours, *inputs).backend == "torch"
        found = outputs_and_gradients(self.norm.ours, inputs)
        expected = outputs_and_gradients(self.norm.reference, inputs)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)

    @needs_kernels
    # Inherited by several classes, which never run the same example at once.
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_any_call_agrees_with_the_reference(self, data):
        """Drawn shapes, strides, dtypes and instruction sets all agree with the reference."""
        lead = data.draw(st.lists(st.integers(0, 6), max_size=3))
        shape = (*lead, data.draw(st.integers(0, 150)))
        dtype = data.draw(st.sampled_from(DTYPES))
        inputs = self.norm.draw(shape, dtype, seed=data.draw(st.integers(0, 99)))
        if len(shape) > 1 and data.draw(st.booleans()):
            inputs[0] = inputs[0].transpose(0, -1).contiguous().transpose(0, -1)
        with ops.use_backend("cpu"), ops.use_isa(data.draw(st.sampled_from(ops.isas()))):
            found = outputs_and_gradients(self.norm.ours, inputs)
        expected = outputs_and_gradients(self.norm.reference, [t.double() for t in inputs])
        # Sums of up to 216 rows, rounded to the dtype at the end; 300 is 1 / sqrt(EPS), the factor
        # by which a row of equal elements enlarges rounding errors.
        for mine, true in zip(found, expected, strict=True):
            scale = true.abs().max().item() if true.numel() else 0.0
            tolerance = torch.finfo(dtype).eps * scale + 300 * 2e-7 * (1 + scale)
            torch.testing.assert_close(mine.double(), true, rtol=0, atol=tolerance)
