"""The encoder and the decoder over tokens."""

import pytest
import torch
from dlplug_xtransformers.sequences import x_transformer

from dlplug.errors import InvalidValueError

SMALL = {"dim": 16, "depth": 2, "heads": 2, "attn_dim_head": 8}
TOKENS = torch.tensor([[5, 3, 9, 4, 7, 2], [6, 8, 3, 0, 0, 0]])


def made(**options):
    """A network in evaluation mode with the same weights each time."""
    torch.manual_seed(0)
    return x_transformer(7, 11, 8, **{**SMALL, **options}).eval()


@pytest.mark.parametrize("pool", [{}, {"use_cls_token": True}])
def test_a_text_has_one_row_of_scores(pool):
    """The mean over its tokens, or a token of its own; padding changes nothing."""
    network = made(**pool)
    scores = network(TOKENS)
    assert scores.shape == (2, 7)
    torch.testing.assert_close(network(TOKENS[1:, :3]), scores[1:])


def test_each_position_has_scores_that_see_both_sides():
    """Without is_causal; padding is not seen."""
    network = made(per_position=True)
    scores = network(TOKENS)
    assert scores.shape == (2, 6, 7)
    torch.testing.assert_close(network(TOKENS[1:, :3]), scores[1:, :3])
    changed = TOKENS.clone()
    changed[0, -1] = 10
    assert not torch.allclose(network(changed)[0, 0], scores[0, 0])


@pytest.mark.parametrize(
    "options", [{}, {"rotary_pos_emb": True}, {"alibi_pos_bias": True}, {"attn_flash": True}]
)
def test_a_decoder_does_not_see_what_comes(options):
    """Another last token changes the scores of the last position alone."""
    network = made(per_position=True, is_causal=True, **options)
    changed = TOKENS.clone()
    changed[:, -1] = 10
    before, after = network(TOKENS), network(changed)
    torch.testing.assert_close(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, -1], after[:, -1])


def test_what_contradicts_the_task_is_refused():
    """A pool where each position has scores; a decoder where a whole text has."""
    with pytest.raises(InvalidValueError, match="use_cls_token gives one output for a text"):
        made(per_position=True, use_cls_token=True)
    with pytest.raises(InvalidValueError, match="a decoder gives scores of each position"):
        made(is_causal=True)


# Without heads the library makes empty tensors before it stumbles over them.
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_cls_token": True, "average_pool_embed": True}, "use_cls_token"),
        ({"heads": 0}, "modulo by zero"),
        ({"attn_one_kv_head": True, "attn_kv_heads": 2}, "but not both"),
    ],
)
def test_what_the_library_refuses_is_one_error(options, message):
    """Whatever it raises; where that has no words, the line of the library's code."""
    with pytest.raises(InvalidValueError, match=f"refuses these options together: .*({message})"):
        made(**options)
