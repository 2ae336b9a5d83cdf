"""What holds for each of the norm ops; a test class per op inherits these tests."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, ShapeError
from dlplug.ops import _backend
from tests.ops.norm_cases import (
    DTYPES,
    EMPTY,
    EPS,
    SHAPES,
    Norm,
    assert_as_good_as_torch,
    error,
    outputs_and_gradients,
    outputs_of,
)

needs_kernels = pytest.mark.skipif(
    not ops.isas(), reason="the CPU kernels are not compiled: see python -m dlplug doctor"
)
each_isa = pytest.mark.parametrize("isa", ops.isas() or [None])
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])


class NormProperties:
    """Subclasses set ``norm``."""

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
    @each_isa
    def test_an_offset_costs_no_accuracy(self, isa):
        """Rows far from 0 lose no more digits than in PyTorch."""
        inputs = self.norm.draw((40, 300))
        inputs[0] += 1000
        (true, *_), (theirs, *_) = (
            outputs_of(function(*(t.to(dtype) for t in inputs), eps=EPS))
            for function, dtype in (
                (self.norm.reference, torch.float64),
                (self.norm.torch, torch.float32),
            )
        )
        with ops.use_backend("cpu"), ops.use_isa(isa):
            mine = outputs_of(self.norm.ours(*inputs, eps=EPS))[0]
        assert error(mine, true) <= 2 * error(theirs, true)

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

    @pytest.mark.parametrize("mode", ["auto", "cpu"])
    def test_gradients_can_be_differentiated_again(self, mode):
        """With create_graph the second derivatives equal those of PyTorch's own ops."""
        if mode == "cpu" and not ops.isas():
            pytest.skip("the CPU kernels are not compiled")
        inputs = self.norm.draw((60, 40))

        def second(function):
            leaves = [t.clone().requires_grad_() for t in inputs]
            outputs = outputs_of(function(*leaves, eps=EPS))
            total = sum(output.sin().sum() for output in outputs)
            grads = torch.autograd.grad(total, leaves, create_graph=True)
            return torch.autograd.grad(sum(g.square().sum() for g in grads), leaves)

        with ops.use_backend(mode):
            found = second(self.norm.ours)
        torch.testing.assert_close(found, second(self.norm.torch), rtol=2e-3, atol=2e-3)

    @pytest.mark.parametrize("is_wide", [False, True])
    def test_passes_every_opcheck(self, is_wide):
        """Schema, autograd registration, fake tensors and traced graphs of the forward op agree."""
        dtype = torch.float32 if is_wide else torch.bfloat16
        inputs = [t.requires_grad_() for t in self.norm.draw((3, 4, 10), dtype)]
        op = getattr(torch.ops.dlplug, self.norm.kernel).default
        arguments = [*inputs, EPS] if not self.norm.has_residual else [*inputs, None, EPS, 0.0]
        assert set(torch.library.opcheck(op, tuple(arguments)).values()) == {"SUCCESS"}

    def test_compiles_in_one_graph(self):
        """fullgraph compilation gives the eager results and gradients."""
        inputs = self.norm.draw((6, 4, 48))
        compiled = torch.compile(self.norm.ours, fullgraph=True, backend="aot_eager")
        found = outputs_and_gradients(compiled, inputs)
        expected = outputs_and_gradients(self.norm.reference, inputs)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("mode", ["auto", "reference"])
    def test_exports_with_any_number_of_rows(self, mode):
        """An exported graph runs with other row counts; under `reference` it is plain aten."""
        norm = self.norm

        class Module(torch.nn.Module):
            def forward(self, *inputs):
                return norm.ours(*inputs, eps=EPS)

        inputs = norm.draw((5, 3, 16))
        rows = torch.export.Dim("rows", min=2, max=4096)
        dynamic = (tuple({0: rows} if t.dim() == 3 else None for t in inputs),)
        with ops.use_backend(mode):
            program = torch.export.export(Module(), tuple(inputs), dynamic_shapes=dynamic)
        targets = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
        has_own = any(target.startswith("dlplug.") for target in targets)
        assert has_own == (mode == "auto" and bool(ops.isas()))
        others = norm.draw((9, 3, 16), seed=5)
        found = outputs_of(program.module()(*others))
        expected = outputs_of(norm.reference(*others, eps=EPS))
        torch.testing.assert_close(tuple(found), expected, rtol=1e-5, atol=1e-5)

    @each_dtype
    def test_autocast_returns_what_torch_returns(self, dtype):
        """Inside autocast the dtypes are those of PyTorch's own ops."""
        inputs = self.norm.draw((300, 100), dtype)
        with torch.autocast("cpu", torch.bfloat16):
            found = outputs_of(self.norm.ours(*inputs, eps=EPS))
            expected = outputs_of(self.norm.torch(*inputs, eps=EPS))
        assert [t.dtype for t in found] == [t.dtype for t in expected]

    # torch's own decompositions for forward mode are scripted.
    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
    def test_vmap_and_forward_mode_follow_torch(self):
        """torch.func transforms and forward-mode differentiation go through PyTorch's own ops."""
        inputs = self.norm.draw((4, 30, 600))
        axes = tuple(0 if t.dim() == 3 else None for t in inputs)
        found = torch.vmap(lambda *a: self.norm.ours(*a, eps=EPS), axes)(*inputs)
        expected = torch.vmap(lambda *a: self.norm.torch(*a, eps=EPS), axes)(*inputs)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        compiled = torch.compile(
            lambda *args: torch.vmap(lambda *a: self.norm.ours(*a, eps=EPS), axes)(*args),
            fullgraph=True,
            backend="aot_eager",
        )
        torch.testing.assert_close(compiled(*inputs), expected, rtol=1e-5, atol=1e-5)
        tangents = tuple(torch.ones_like(t) for t in inputs)
        for function in (self.norm.ours, self.norm.torch):
            _, slope = torch.func.jvp(
                lambda *a, f=function: f(*a, eps=EPS), tuple(inputs), tangents
            )
            expected, found = found, outputs_of(slope)
        torch.testing.assert_close(outputs_of(found), outputs_of(expected), rtol=1e-4, atol=1e-4)

    def test_meta_tensors_give_shapes(self):
        """On the meta device the outputs have the right shape and dtype."""
        inputs = [t.to("meta") for t in self.norm.draw((4, 6), torch.bfloat16)]
        for output in outputs_of(self.norm.ours(*inputs, eps=EPS)):
            assert output.is_meta and output.shape == (4, 6) and output.dtype == torch.bfloat16

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


class poisoned_memory:
    """Uninitialised tensors hold NaN inside the block."""

    def __enter__(self):
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *_):
        torch.use_deterministic_algorithms(False)
