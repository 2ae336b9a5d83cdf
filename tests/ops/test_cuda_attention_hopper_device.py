"""Attention's kernels for Hopper GPUs on such a GPU, at its sizes."""

import pytest
import torch

from dlplug import ops
from dlplug.ops import _attention_choice as choice
from dlplug.ops import _attention_kernels as kernels
from tests.ops import attention_hopper_exactness as exactness
from tests.ops.attention_cases import make_inputs, with_gradients
from tests.ops.gpu import assert_replays, needs_gpu

pytestmark = [
    *needs_gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.cuda.get_device_capability() != choice.HOPPER,
        reason="the GPU is no Hopper, of compute capability 9.0",
    ),
]
each_dtype = pytest.mark.parametrize("dtype", choice.HALF, ids=["bfloat16", "float16"])
each_width = pytest.mark.parametrize("width", choice.HOPPER_WIDTHS)
LARGE = [(1, 8, 2, 2048, 2048), (2, 4, 4, 1000, 3000), (1, 2, 2, 4096, 512)]


@pytest.fixture(autouse=True)
def hopper_kernel(monkeypatch):
    """A call that it does not take is an error, so that no test passes by falling back."""
    monkeypatch.setattr(choice, "forced", "hopper")
    with ops.use_backend("cuda"):
        yield


@each_dtype
@pytest.mark.parametrize("is_causal", [False, True], ids=["whole", "causal"])
def test_as_good_as_torch(dtype, is_causal):
    """Outputs and gradients: at most twice PyTorch's own error; lse that of float64."""
    large = [(*sizes, width, width) for sizes in LARGE for width in choice.HOPPER_WIDTHS]
    for shape in exactness.SHAPES + large:
        exactness.check_shape(shape, dtype, is_causal, "cuda")


@each_dtype
@each_width
@pytest.mark.parametrize("name", exactness.EXTRAS)
def test_extras_round_at_most_twice_as_much(name, width, dtype):
    """Each extra, and all together."""
    exactness.check_extra(name, dtype, width, "cuda")


@each_dtype
@pytest.mark.parametrize(
    "check", exactness.CHECKS + exactness.BACKWARD_CHECKS, ids=lambda check: check.__name__
)
def test_what_the_emulation_holds(check, dtype):
    """Blind rows, hidden tiles, shared heads, huge scores, NaN, any strides and addresses."""
    check(dtype, "cuda")


@each_dtype
@pytest.mark.parametrize("first", range(0, 50, 10))
def test_random_products_of_features(dtype, first):
    """Any number of them together, over more tiles than the emulation has time for."""
    for number in range(first, first + 10):
        exactness.check_random(number, dtype, "cuda", largest=1500)


@each_dtype
@each_width
def test_the_same_bits_on_every_run(dtype, width):
    """Nothing depends on when a copy or a product ends: output and gradients."""
    *tensors, grad = [x.cuda() for x in make_inputs(2, 16, 4, 3000, 3000, width, width, dtype)]
    options = {"is_causal": True, "enable_gqa": True}
    first = with_gradients(ops.attention, tensors, grad, **options)
    for _ in range(20):
        again = with_gradients(ops.attention, tensors, grad, **options)
        assert all(map(torch.equal, again, first))


def test_a_cuda_graph_replays_it():
    """Nothing waits for the device: a capture that did would raise."""
    *tensors, grad = [x.cuda() for x in make_inputs(1, 4, 4, 500, 500, 128, 128, torch.bfloat16)]
    assert_replays(lambda: [ops.attention(*tensors, is_causal=True)])
    options = (None, None, None, None, 0.0, 0.1, None, None, 0, 0)
    out, lse = kernels.hopper_forward(*tensors, None, *options)
    given = (grad, *tensors, out, lse, False, False)
    assert_replays(lambda: list(kernels.hopper_backward(*given, *options)[:3]))
