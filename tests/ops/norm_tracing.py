"""Norms under autograd, torch.compile, torch.export and torch.func."""

import pytest
import torch
from torch.distributed.tensor import DTensor, Replicate, Shard

from dlplug import ops
from tests.ops.norm_cases import (
    EPS,
    Norm,
    outputs_and_gradients,
    outputs_of,
)


class NormTracing:
    norm: Norm

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

    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # "in prototype stage"
    # Of inputs that are no leaves the compiler asks for a gradient, too.
    @pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
    @pytest.mark.parametrize("kind", ["distributed", "jagged"])
    def test_tensors_that_hold_others_compile_in_one_graph(self, kind, mesh):
        """Distributed and jagged inputs have the eager results and gradients, which are torch's."""
        offsets = torch.tensor([0, 3, 8])

        def wrapped(t):
            if kind == "jagged":
                return t if t.dim() == 1 else torch.nested.nested_tensor_from_jagged(t, offsets)
            placement = Replicate() if t.dim() == 1 else Shard(0)
            return DTensor.from_local(t, mesh, [placement])

        def found(function):
            leaves = [t.requires_grad_() for t in self.norm.draw((8, 48))]
            outputs = outputs_of(function(*map(wrapped, leaves), eps=EPS))
            assert all(type(output) is type(wrapped(leaves[0])) for output in outputs)
            plain = [y.values() if kind == "jagged" else y.to_local() for y in outputs]
            return *plain, *torch.autograd.grad(sum(y.sin().sum() for y in plain), leaves)

        torch._dynamo.reset()
        compiled = torch.compile(self.norm.ours, fullgraph=True, backend="aot_eager")
        expected = found(self.norm.ours)
        torch.testing.assert_close(expected, found(self.norm.torch))
        torch.testing.assert_close(found(compiled), expected)

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
