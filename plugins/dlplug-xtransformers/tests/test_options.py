"""The library's options as parameters."""

import inspect

import pytest
import torch
from dlplug_xtransformers.images import x_vit
from dlplug_xtransformers.options import DECIDED_ELSEWHERE, NEEDS_MORE_INPUTS, layer_options
from dlplug_xtransformers.sequences import LEFT_OUT, x_transformer
from x_transformers import Attention, FeedForward, TransformerWrapper
from x_transformers.x_transformers import AttentionLayers

from dlplug.config.parameters import parameters_of, takes_anything

OWNERS = ((AttentionLayers, ""), (Attention, "attn_"), (FeedForward, "ff_"))


@pytest.mark.parametrize("architecture", [x_transformer, x_vit])
def test_every_option_is_known_by_name(architecture):
    """So that an unknown one is an error of dlplug's; those of all four classes are there."""
    names = {parameter.name for parameter in parameters_of(architecture)}
    assert not takes_anything(architecture)
    assert {"rotary_pos_emb", "attn_qk_norm", "ff_glu", "emb_dropout", "use_rmsnorm"} <= names
    assert not {"attn_layers", "cross_attend", "options", "attn_custom_attn_fn"} & names


def test_what_is_left_out_exists():
    """A name that the library has dropped would hide a new one some day."""
    names = {
        prefix + name for owner, prefix in OWNERS for name in inspect.signature(owner).parameters
    }
    assert names >= NEEDS_MORE_INPUTS | DECIDED_ELSEWHERE
    assert set(LEFT_OUT) <= set(inspect.signature(TransformerWrapper).parameters)


def test_no_two_classes_share_a_name():
    """A value could go to one of them only."""
    assert not set(layer_options()) & set(inspect.signature(TransformerWrapper).parameters)


def test_options_reach_their_classes():
    """Of the wrapper, the layers, the attention and the networks."""
    network = x_transformer(
        7,
        11,
        8,
        dim=16,
        depth=2,
        heads=2,
        tie_embedding=False,
        emb_dropout=0.1,
        use_rmsnorm=True,
        attn_dim_head=4,
        attn_dropout=0.2,
        ff_mult=2.5,
        ff_dropout=0.3,
    ).network
    layers = [layer for _, layer, _ in network.attn_layers.layers]
    attention, feed_forward = layers[0], layers[1]
    assert network.emb_dropout.p == 0.1
    assert attention.to_q.weight.shape == (8, 16)
    assert attention.attend.attn_dropout.p == 0.2
    rates = [m.p for m in feed_forward.modules() if isinstance(m, torch.nn.Dropout)]
    assert 0.3 in rates and feed_forward.ff[0][0].weight.shape == (40, 16)
    assert type(network.attn_layers.final_norm).__name__ == "RMSNorm"


def test_an_image_has_one_row_of_scores():
    """Registers and other options of the wrapper are the library's."""
    network = x_vit(7, 3, 8, patch_size=4, dim=16, depth=1, heads=2, num_register_tokens=3)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 7)
    assert network.register_tokens.shape == (3, 16)
