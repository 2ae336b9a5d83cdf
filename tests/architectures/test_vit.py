"""ViT: the paper's equations, whatever the backend of the ops."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.architectures.vit import ViT, patches
from dlplug.errors import InvalidValueError
from dlplug.ops import use_backend


def vit(**arguments):
    torch.manual_seed(0)
    chosen = {"patch_size": 4, "dim": 16, "depth": 2, "heads": 2, "mlp_ratio": 2.0} | arguments
    return ViT(num_outputs=5, in_channels=3, image_size=(8, 12), **chosen)


def by_the_paper(model, x):
    """Eq. 1-4 of arXiv:2010.11929 with PyTorch's own layers, from the model's weights."""
    size = model.patch_size
    # Eq. 1 by another way: cut with unfold, then project; a token in front; positions.
    rows = F.unfold(x, size, stride=size).transpose(1, 2)
    z = F.linear(rows, model.embed.weight, model.embed.bias)
    if model.cls_1D is not None:
        z = torch.cat([model.cls_1D.expand(len(x), 1, -1), z], dim=1)
    z = z + model.position_TD

    def norm(z, layer):
        return F.layer_norm(z, z.shape[-1:], layer.weight, layer.bias, layer.eps)

    for block in model.blocks:
        y = norm(z, block.attention_norm)
        y, _ = F.multi_head_attention_forward(  # eq. 2
            *[y.transpose(0, 1)] * 3,
            y.shape[-1],
            block.heads,
            block.qkv.weight,
            block.qkv.bias,
            None,
            None,
            False,
            0.0,
            block.out.weight,
            block.out.bias,
            need_weights=False,
        )
        z = z + y.transpose(0, 1)
        y = norm(z, block.mlp_norm)
        up, down = block.mlp[0], block.mlp[-1]
        z = z + F.linear(F.gelu(F.linear(y, up.weight, up.bias)), down.weight, down.bias)  # eq. 3
    z = norm(z, model.norm)  # eq. 4
    pooled = z[:, 0] if model.pool == "cls" else z.mean(dim=1)
    return F.linear(pooled, model.head.weight, model.head.bias)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_it_equals_the_paper(pool, backend):
    """Outputs and all gradients, for images of several channels that are not square.

    Tolerance: float32 sums in another order, over two blocks.
    """
    model = vit(pool=pool)
    x = torch.randn(3, 3, 8, 12)
    with use_backend(backend):
        scores = model(x)
        scores.square().sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    expected = by_the_paper(model, x)
    expected.square().sum().backward()
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_patches_are_cut_row_by_row():
    """The second patch of a row stands right of the first one."""
    x = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    cut = patches(x, 2)
    assert cut.shape == (1, 6, 8)
    assert torch.equal(cut[0, 1], x[0, :, 0:2, 2:4].flatten())
    assert torch.equal(cut[0, 3], x[0, :, 2:4, 0:2].flatten())


def test_dropout_acts_while_training_only():
    """Two passes differ in training and agree in evaluation."""
    model = vit(dropout=0.5)
    x = torch.randn(2, 3, 8, 12)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_stochastic_depth_leaves_whole_updates_out():
    """The rates rise to the given one; it acts while training only."""
    model = vit(stochastic_depth=0.5)
    assert [block.rate for block in model.blocks] == [0.25, 0.5]
    x = torch.randn(8, 3, 8, 12)
    assert not torch.equal(model(x), model(x))
    model.eval()
    torch.testing.assert_close(model(x), vit()(x))


def test_the_mean_needs_no_extra_token():
    """Six patches, and one token more for cls."""
    assert vit(pool="mean").position_TD.shape == (6, 16)
    assert vit(pool="cls").position_TD.shape == (7, 16)


def test_it_works_in_double_precision():
    """The fallbacks take float64."""
    assert vit().double()(torch.randn(2, 3, 8, 12, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 5}, "patches of 5 pixels do not fill an image of 8 x 12"),
        ({"heads": 3}, "dim = 16 is not divisible by heads = 3"),
        ({"pool": "max"}, "pool = 'max'"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"stochastic_depth": 1.0}, "vit: stochastic_depth = 1.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message):
    """The message holds both sides."""
    with pytest.raises(InvalidValueError, match=message):
        vit(**arguments)
