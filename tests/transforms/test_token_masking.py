"""TokenMasking: a share of the tokens, never the padding."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.token_masking import TokenMasking, token_masking


def test_a_share_is_replaced_and_padding_stays():
    """About 30 % of 10,000 tokens: within five standard deviations, 0.023."""
    torch.manual_seed(0)
    tokens = torch.randint(5, 20, (100, 120))
    tokens[:, 100:] = 0
    found = TokenMasking(0.3)(tokens)
    assert abs(float((found[:, :100] == 1).float().mean()) - 0.3) < 0.023
    assert torch.equal(found[:, 100:], tokens[:, 100:])
    kept = found != 1
    assert torch.equal(found[kept], tokens[kept])


def test_nothing_is_replaced_at_share_0():
    """The same tensor."""
    tokens = torch.ones(2, 2, dtype=torch.int64)
    assert token_masking(tokens, 0.0) is tokens


def test_the_replacement_can_be_chosen():
    """Such as the mask."""
    torch.manual_seed(0)
    assert set(TokenMasking(0.5, 4)(torch.full((9, 9), 7)).unique().tolist()) == {4, 7}
    assert repr(TokenMasking(0.5, 4)) == "TokenMasking(share=0.5, replacement=4)"


def test_values_out_of_range_are_refused():
    """And inputs that are no tokens."""
    for arguments in ({"share": 1.0}, {"replacement": 0}):
        with pytest.raises(InvalidValueError, match="token_masking: share ="):
            TokenMasking(**arguments)
    with pytest.raises(InvalidValueError, match="are no tokens"):
        TokenMasking()(torch.zeros(2, 2))
