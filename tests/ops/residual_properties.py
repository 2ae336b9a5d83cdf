"""What holds for the norms that add a residual first; a test class per op inherits these tests."""

import itertools

import pytest
import torch

from dlplug import ops
from dlplug.errors import DtypeError, OpError
from tests.ops.norm_cases import EPS, assert_as_good_as_torch, outputs_and_gradients
from tests.ops.norm_properties import NormProperties, each_dtype, each_isa, needs_kernels


class ResidualProperties(NormProperties):
    @needs_kernels
    @each_isa
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
    def test_a_narrow_block_joins_a_wide_stream(self, isa, dtype):
        """16-bit x and float32 residual, as under autocast: the sum and its norm are float32."""
        with ops.use_backend("cpu"), ops.use_isa(isa):
            shapes = [(5, 7), (33, 64), (17, 129), (300, 192)]
            assert_as_good_as_torch(self.norm, shapes, dtype, torch.float32)

    @needs_kernels
    def test_other_pairs_of_dtypes_promote_as_in_torch(self):
        """What no kernel takes goes to PyTorch: float32 x on a bfloat16 stream."""
        inputs = self.norm.draw((50, 8), torch.float32, torch.bfloat16)
        inputs = [t.float() if t.dim() == 1 else t for t in inputs]
        assert "neither" in str(ops.explain(self.norm.ours, *inputs))
        torch.testing.assert_close(self.norm.ours(*inputs), self.norm.torch(*inputs, eps=1e-5))

    @needs_kernels
    @each_isa
    @each_dtype
    def test_dropout_equals_the_reference_s_for_the_same_seed(self, isa, dtype):
        """With torch.manual_seed kernel and reference drop the same elements, forward and back."""
        for shape in [(4, 3), (7, 64), (3, 5, 100), (5, 320), (300, 192)]:
            inputs = self.norm.draw(shape, dtype)
            results = []
            for mode in ("cpu", "reference"):
                torch.manual_seed(11)
                with ops.use_backend(mode), ops.use_isa(isa):
                    results.append(outputs_and_gradients(self.norm.ours, inputs, dropout_p=0.3))
            for mine, theirs in zip(*results, strict=True):
                scale = theirs.abs().max().item()
                # Two roundings, and sums of 300 rows in another order.
                limit = 2 * torch.finfo(dtype).eps * scale + 1e-5 * (1 + scale)
                torch.testing.assert_close(mine, theirs, rtol=0, atol=limit)

    @pytest.mark.parametrize("mode", ["auto", "reference", "cpu"])
    def test_a_tiny_probability_drops_nothing(self, mode):
        """p below half of 2^-32 gives the results and gradients of p = 0."""
        if mode == "cpu" and not ops.isas():
            pytest.skip("the CPU kernels are not compiled")
        inputs = self.norm.draw((20, 30))
        with ops.use_backend(mode):
            found = outputs_and_gradients(self.norm.ours, inputs, dropout_p=1e-11)
        expected = outputs_and_gradients(self.norm.reference, inputs)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("rows", [3, 900])
    def test_the_mask_is_the_same_whoever_computes(self, rows):
        """float64, which no kernel takes, and float32 lose the same elements for a seed."""
        inputs = self.norm.draw((rows, 30))
        masks = []
        for mode, dtype in (
            ("auto", torch.float32),
            ("auto", torch.float64),
            ("reference", torch.float32),
        ):
            torch.manual_seed(5)
            x, residual = (t.to(dtype) for t in inputs[:2])
            with ops.use_backend(mode):
                _, h = self.norm.ours(x, residual, dropout_p=0.4)
            masks.append(h == residual)
        assert 0 < masks[0].float().mean() < 1
        assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])

    def test_what_is_accepted_does_not_depend_on_the_size(self):
        """Any four dtypes are accepted, or refused with one message, at every number of rows."""
        dtypes = [torch.float32, torch.bfloat16, torch.float64, torch.int64]
        names = len(self.norm.draw((1, 1)))
        for chosen in itertools.product(dtypes, repeat=names):
            answers = set()
            for rows in (0, 2, 600):
                shapes = [(rows, 40), (rows, 40), (40,), (40,)]
                inputs = [
                    torch.ones(s, dtype=d) for s, d in zip(shapes[:names], chosen, strict=True)
                ]
                try:
                    outputs = self.norm.ours(*inputs)
                    answers.add(tuple(output.dtype for output in outputs))
                except DtypeError as error:
                    answers.add(str(error))
            assert len(answers) == 1, (chosen, answers)

    @needs_kernels
    def test_a_direct_call_with_a_pair_of_dtypes_without_kernel_is_refused(self):
        """The ops themselves raise instead of leaving their outputs unwritten."""
        forward = getattr(torch.ops.dlplug, self.norm.kernel)
        backward = getattr(torch.ops.dlplug, self.norm.kernel.replace("forward", "backward"))
        rows = [None] * (len(self.norm.draw((1, 1))) - 2)
        for narrow, stream in ((torch.float32, torch.bfloat16), (torch.bfloat16, torch.float16)):
            x, h = torch.ones(3, 4, dtype=narrow), torch.ones(3, 4, dtype=stream)
            with pytest.raises(RuntimeError, match="residual must be of x's dtype or float32"):
                forward(x, h, *rows, None, EPS, 0.0)
            stats = torch.ones(len(rows), 3)
            with pytest.raises(RuntimeError, match="residual must be of x's dtype or float32"):
                backward(h, None, h, *rows, stats, None, 0.0, narrow, True)

    @needs_kernels
    def test_dropout_drops_its_share_and_scales_the_rest(self):
        """With a residual of 0, h is x times 1 / (1 - p) or 0, in the asked proportion."""
        x, residual = torch.ones(400, 250), torch.zeros(400, 250)
        with ops.use_backend("cpu"):
            _, h = self.norm.ours(x, residual, dropout_p=0.25)
        kept = h != 0
        torch.testing.assert_close(h[kept], torch.full_like(h[kept], 1 / 0.75))
        # 100,000 draws: the standard deviation of the share is 0.0014.
        assert abs(kept.float().mean().item() - 0.75) < 0.007

    @pytest.mark.parametrize("mode", ["auto", "reference", "cpu"])
    def test_dropout_of_1_leaves_the_residual(self, mode):
        """p = 1 drops everything, infinities included, and gives x no gradient."""
        if mode == "cpu" and not ops.isas():
            pytest.skip("the CPU kernels are not compiled")
        x, residual = torch.randn(3, 50, requires_grad=True), torch.randn(3, 50)
        with ops.use_backend(mode):
            y, h = self.norm.ours(x, residual, dropout_p=1.0)
            (grad,) = torch.autograd.grad(y.sum() + h.sum(), x)
        torch.testing.assert_close(h, residual, rtol=0, atol=0)
        assert not grad.any()

    def test_the_seed_comes_from_torch_s_generator(self):
        """The same torch.manual_seed gives the same mask, the next call another one."""
        inputs = self.norm.draw((20, 30))[:2]
        torch.manual_seed(3)
        first, second = (self.norm.ours(*inputs, dropout_p=0.5)[1] for _ in range(2))
        torch.manual_seed(3)
        again = self.norm.ours(*inputs, dropout_p=0.5)[1]
        assert torch.equal(first, again) and not torch.equal(first, second)

    def test_compiled_dropout_draws_anew_and_is_ruled_by_the_seed(self):
        """In a compiled graph every call draws its own mask, and manual_seed repeats it."""
        inputs = self.norm.draw((20, 30))
        compiled = torch.compile(self.norm.ours, fullgraph=True, backend="aot_eager")

        def run():
            return outputs_and_gradients(compiled, inputs, dropout_p=0.5)

        torch.manual_seed(3)
        first, second = run(), run()
        torch.manual_seed(3)
        again = run()
        assert not torch.equal(first[1], second[1])
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))

    def test_dropout_passes_every_opcheck(self):
        """The op with a seed has the right schema, fake kernel and gradients as well."""
        inputs = [t.requires_grad_() for t in self.norm.draw((3, 4, 10))]
        op = getattr(torch.ops.dlplug, self.norm.kernel).default
        seed = torch.tensor(12345)
        result = torch.library.opcheck(op, (*inputs, seed, EPS, 0.4))
        assert set(result.values()) == {"SUCCESS"}

    @needs_kernels
    @pytest.mark.parametrize("which", [0, 1])
    def test_either_output_may_go_unused(self, which):
        """The gradient through y alone or h alone equals the reference's."""
        inputs = self.norm.draw((9, 21))
        grads = []
        for mode in ("cpu", "reference"):
            leaves = [t.clone().requires_grad_() for t in inputs]
            with ops.use_backend(mode):
                output = self.norm.ours(*leaves)[which]
            grads.append(torch.autograd.grad(output.sin().sum(), leaves[:2]))
        torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("mode", ["auto", "reference", "cpu"])
    def test_an_unused_norm_spoils_no_gradient(self, mode):
        """Through h alone the gradient is what came, in rows with NaN and infinity too."""
        if mode == "cpu" and not ops.isas():
            pytest.skip("the CPU kernels are not compiled")
        x, *rest = self.norm.draw((4, 6))
        x[0, 1], x[1, 2] = float("nan"), float("inf")
        leaves = [t.requires_grad_() for t in (x, *rest)]
        with ops.use_backend(mode):
            _, h = self.norm.ours(*leaves, dropout_p=1e-11)
            grads = torch.autograd.grad(h, leaves[:2], torch.full_like(h, 3.0))
        assert all(grad.eq(3).all() for grad in grads)

    @pytest.mark.parametrize("mode", ["auto", "reference", "cpu"])
    @pytest.mark.parametrize("rows", [4, 4096])
    def test_an_unused_norm_has_no_gradient(self, mode, rows):
        """None, as where PyTorch adds and normalises apart: weight decay must not begin with it."""
        if mode == "cpu" and not ops.isas():
            pytest.skip("the CPU kernels are not compiled")
        leaves = [t.requires_grad_() for t in self.norm.draw((rows, 96))]
        with ops.use_backend(mode):
            _, h = self.norm.ours(*leaves)
            h.sum().backward()
        assert [leaf.grad is None for leaf in leaves] == [False, False, *[True] * len(leaves[2:])]

    @pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
    def test_a_probability_is_within_0_and_1(self, p):
        """Anything else is refused."""
        inputs = self.norm.draw((2, 3))
        with pytest.raises(OpError, match=r"dropout_p must be within \[0, 1\], got"):
            self.norm.ours(*inputs, dropout_p=p)
