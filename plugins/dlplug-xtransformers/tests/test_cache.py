"""Generating with the library's cache, and without where it is wrong."""

import warnings

import pytest
import torch
from dlplug_xtransformers.sequences import x_transformer

from dlplug.tasks.generation import generate

SMALL = {"dim": 16, "depth": 2, "heads": 2, "attn_dim_head": 8}
USED = [
    {},
    {"rotary_pos_emb": True, "use_abs_pos_emb": False},
    {"alibi_pos_bias": True, "use_abs_pos_emb": False},
    {"rel_pos_bias": True},
    {"attn_flash": True, "attn_kv_heads": 1, "use_rmsnorm": True, "ff_glu": True},
    {"attn_qk_norm": True, "residual_attn": True},
]
NOT_USED = [{"shift_tokens": 1}, {"num_memory_tokens": 2}]


def made(**options):
    """A decoder with scores that are far apart."""
    torch.manual_seed(0)
    return x_transformer(11, 11, 12, per_position=True, is_causal=True, **SMALL, **options).eval()


@pytest.mark.parametrize("options", USED, ids=str)
def test_cached_scores_are_those_of_reading_everything(options):
    """Token by token, up to the last position; no warning."""
    network, tokens = made(**options), torch.randint(1, 11, (1, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = network.new_cache(1, 12)
    parts = [network(part, cache=cache) for part in (tokens[:, :5], *tokens[:, 5:].split(1, 1))]
    assert cache.is_used
    torch.testing.assert_close(torch.cat(parts, 1), network(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", NOT_USED, ids=str)
def test_options_that_the_cache_does_not_know_are_found(options):
    """It says so, reads everything again, and is right."""
    network, tokens = made(**options), torch.randint(1, 11, (1, 12))
    with pytest.warns(UserWarning, match="each new token reads all of them"):
        cache = network.new_cache(1, 12)
    parts = [network(part, cache=cache) for part in (tokens[:, :5], *tokens[:, 5:].split(1, 1))]
    assert not cache.is_used
    torch.testing.assert_close(torch.cat(parts, 1), network(tokens)[:, :12], rtol=1e-4, atol=1e-5)


def test_a_text_is_continued_alike_with_and_without_the_cache():
    """By dlplug's own generation, beyond what fits into the context."""
    network = made(rotary_pos_emb=True, use_abs_pos_emb=False)
    cached = list(generate(network, [3, 4], 10, temperature=0, context=12))
    expected = [3, 4]
    for _ in range(10):
        expected.append(int(network(torch.tensor([expected]))[0, -1].argmax()))
    assert cached == expected[2:]
    assert len(list(generate(network, [3, 4], 30, temperature=0, context=12))) == 30
