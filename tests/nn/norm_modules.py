"""What holds for each norm module; a test class per module inherits these tests."""

import copy
import pickle

import pytest
import torch

from dlplug.errors import ShapeError


class NormModuleProperties:
    """Subclasses set ``ours``, ``theirs``, the class of torch.nn, and its ``function``'s name."""

    ours: type[torch.nn.Module]
    theirs: type[torch.nn.Module]
    function: str

    @pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 4)])
    @pytest.mark.parametrize("affine", [True, False])
    def test_is_a_drop_in_for_torch_s(self, shape, affine):
        """Output, gradients, state and repr equal those of torch.nn with the same arguments."""
        mine = self.ours(shape, elementwise_affine=affine)
        theirs = self.theirs(shape, elementwise_affine=affine)
        for parameter in theirs.parameters():
            torch.nn.init.normal_(parameter)
        mine.load_state_dict(theirs.state_dict())
        assert repr(mine) == repr(theirs) and isinstance(mine, self.theirs)
        x = torch.randn(5, 7, *shape)
        results = []
        for module in (mine, theirs):
            leaf = x.clone().requires_grad_()
            y = module(leaf)
            grads = torch.autograd.grad(y.sin().sum(), [leaf, *module.parameters()])
            results.append((y, *grads))
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)

    def test_takes_an_int_a_device_and_a_dtype(self):
        """The remaining arguments are those of torch.nn as well."""
        module = self.ours(8, eps=1e-3, device="cpu", dtype=torch.bfloat16)
        assert module.normalized_shape == (8,) and module.eps == 1e-3
        assert module(torch.randn(3, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
        assert self.ours(8, device="meta").weight.is_meta

    def test_copies_and_pickles(self):
        """A copy and a pickle compute the same."""
        module, x = self.ours(8), torch.randn(3, 8)
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert torch.equal(twin(x), module(x))

    def test_names_a_wrong_shape(self):
        """An input that does not end in normalized_shape is refused, without parameters too."""
        module = self.ours((4, 6), elementwise_affine=False)
        with pytest.raises(ShapeError, match=r"must end in \(4, 6\), got \(5, 6\)"):
            module(torch.randn(5, 6))
        with pytest.raises(ShapeError, match=r"must end in \(6,\), got \(3, 5\)"):
            self.ours(6, elementwise_affine=False)(torch.randn(3, 5))

    def test_compiles_in_one_graph(self):
        """fullgraph compilation gives the eager result."""
        module, x = self.ours((2, 8)), torch.randn(9, 2, 8)
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), module(x))

    @pytest.mark.parametrize("shape", [(8,), (2, 4)])
    def test_torch_fx_records_torch_s_own(self, shape):
        """Where a trace looks into it, there is nothing but the function of torch's module."""
        module, x = self.ours(shape), torch.randn(9, *shape)
        torch.nn.init.normal_(module.weight)
        traced = torch.fx.symbolic_trace(module)
        called = [node.target for node in traced.graph.nodes if node.op.startswith("call")]
        assert called == [getattr(torch.nn.functional, self.function)]
        torch.testing.assert_close(traced(x), module(x))
