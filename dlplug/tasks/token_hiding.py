"""Hide tokens that a model is to guess from those around them."""

import torch
from torch import Tensor

from dlplug.nn.absent import IGNORED

# Of the hidden tokens, these shares become the mask and a random token; the rest stays as it is,
# so that a model has to know every token (Devlin et al. 2019, section 3.1).
MASKED, RANDOM = 0.8, 0.1


def hide_tokens(
    tokens: Tensor,
    can_hide: Tensor,
    fraction: float,
    span_length: float,
    mask_token: int,
    vocab_size: int,
    numbers: Tensor,
) -> tuple[Tensor, Tensor]:
    """Tokens with some of them hidden, and targets that are the hidden tokens.

    About ``fraction`` of all are hidden, in spans of geometric length that lie anywhere. In a text
    of which none would be hidden, one is. What becomes of a text depends on no other one.

    Args:
        tokens: Shape ``(B, T)`` int64.
        can_hide: Which ones may be hidden, shape ``(B, T)`` bool.
        fraction: Share of them, in (0, 1).
        span_length: Mean length of a span, in tokens, at least 1; 1 hides single tokens. A whole
            span is masked, replaced, or left.
        mask_token: Stands for hidden tokens.
        vocab_size: Random tokens are 1 ... vocab_size - 1.
        numbers: Random numbers in [0, 1), shape ``(4, B, T)``.
    Returns:
        Both ``(B, T)`` int64; targets are -100 where nothing is hidden.
    References: Devlin et al. 2019, arXiv:1810.04805 (masks); Joshi et al. 2020, arXiv:1907.10529
        (spans).
    """
    begins, goes_on, fates, replacements = numbers
    is_hidden, first = spans(begins, goes_on, fraction, span_length)
    is_hidden = is_hidden & can_hide
    nearest = begins.masked_fill(~can_hide, 2.0).argmin(dim=1, keepdim=True)
    has_none = ~is_hidden.any(dim=1, keepdim=True)
    position_T = torch.arange(tokens.shape[1], device=tokens.device)
    is_hidden |= has_none & can_hide & (position_T == nearest)
    fate = fates.gather(1, first)  # one for a span
    random = (replacements * (vocab_size - 1)).long() + 1
    hidden = torch.where(fate < MASKED, torch.full_like(tokens, mask_token), tokens)
    hidden = torch.where((fate >= MASKED) & (fate < MASKED + RANDOM), random, hidden)
    targets = torch.where(is_hidden, tokens, torch.full_like(tokens, IGNORED))
    return torch.where(is_hidden, hidden, tokens), targets


def spans(
    begins: Tensor, goes_on: Tensor, fraction: float, span_length: float
) -> tuple[Tensor, Tensor]:
    """Positions inside spans, and where the span of each begins.

    A chain of two states: a span ends after each position with probability 1 / span_length, and
    outside of a span one begins with that which keeps ``fraction`` of all positions inside. It is
    solved for all positions at once: position t is inside if any span began since the last
    position that no span could have reached from before.

    Args:
        begins, goes_on: Uniform random numbers ``(B, T)``.
        fraction: Expected share of positions inside.
        span_length: Mean length.
    Returns:
        ``(B, T)`` bool, and ``(B, T)`` int64 of no meaning outside.
    """
    length = begins.shape[1]
    position_T = torch.arange(length, device=begins.device)
    if span_length == 1:
        return begins < fraction, position_T.expand(begins.shape)
    can_begin = begins < fraction / (fraction + span_length * (1 - fraction))
    can_begin[:, 0] = begins[:, 0] < fraction
    is_cut = goes_on < 1 / span_length
    cut = torch.where(is_cut, position_T, 0).cummax(dim=1).values
    # Where the next span begins, from each position on; `length` where none does.
    following = torch.where(can_begin, position_T, length).flip(1).cummin(dim=1).values.flip(1)
    first = following.gather(1, cut)
    inside = first <= position_T
    return inside, torch.where(inside, first, position_T)
