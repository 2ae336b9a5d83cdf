"""Texts with spans left out, and the spans to be written for them (T5).

Raffel et al. 2020, arXiv:1910.10683, section 3.1.4 and figure 2. Names end in their shape:

    B  texts    T  positions    S  source positions    P  spans, at most
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.nn.absent import IGNORED, PADDING


def corrupt_spans(
    tokens: Tensor,
    can_hide: Tensor,
    fraction: float,
    span_length: float,
    sentinels: range,
    start_token: int,
    end_token: int,
    numbers: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sources with a sentinel for each span, and targets: each sentinel with its span, in order.

    ``a b c d e f g`` with the spans ``b c`` and ``f`` becomes ``a <0> d e <1> g``, and
    ``<0> b c <1> f <end>``. How many tokens and spans are left out follows from the number of
    tokens (`span_counts`); of all divisions into spans, and of all places where no two spans touch,
    each is equally likely.

    Args:
        tokens: Shape ``(B, T)`` int64, padded behind.
        can_hide: Which ones may be left out, shape ``(B, T)`` bool.
        fraction: Share of these that is, in (0, 1).
        span_length: Mean length of a span, in tokens, at least 1.
        sentinels: Tokens that stand for the spans, in the order of the text.
        start_token: Begins every target.
        end_token: Ends it.
        numbers: Random numbers in [0, 1), shape ``(2, B, T)``.
    Returns:
        Sources ``(B, S)``, targets so far ``(B, t)`` and the tokens that follow them ``(B, t)``,
        int64; the last are -100 at padding, and everywhere for a text too short for a span.
    """
    num_B1 = can_hide.sum(dim=1, keepdim=True)
    hidden_B1, spans_B1 = span_counts(num_B1, fraction, span_length, len(sentinels))
    starts_BP, ends_BP = _spans(numbers, num_B1, hidden_B1, spans_B1, len(sentinels))
    place_BT = can_hide.cumsum(dim=1) - 1  # among the tokens that can be hidden
    span_BT = torch.searchsorted(starts_BP, place_BT, right=True) - 1
    safe_BT = span_BT.clamp(min=0)
    is_hidden_BT = can_hide & (span_BT >= 0) & (place_BT < ends_BP.gather(1, safe_BT))
    is_first_BT = is_hidden_BT & (place_BT == starts_BP.gather(1, safe_BT))
    sentinel_BT = sentinels.start + span_BT

    is_kept_BT = is_first_BT | (~is_hidden_BT & (tokens != PADDING))
    source_BS = _gathered(tokens.where(~is_first_BT, sentinel_BT), is_kept_BT, PADDING)

    # A hidden token comes one place after its sentinel, or right after the one before it.
    last_BT = (is_hidden_BT.long() + is_first_BT).cumsum(dim=1) - 1
    total_B1 = hidden_B1 + spans_B1
    following = tokens.new_full((len(tokens), int(total_B1.max()) + 2), IGNORED)
    junk = following.shape[1] - 1
    following.scatter_(1, last_BT.where(is_hidden_BT, junk), tokens)
    following.scatter_(1, (last_BT - 1).where(is_first_BT, junk), sentinel_BT)
    ends_B1 = torch.full_like(total_B1, end_token)
    following.scatter_(1, total_B1.where(spans_B1 > 0, junk), ends_B1)
    following = following[:, :junk]
    # The end token is nobody's input: nothing follows it.
    is_input = (following != IGNORED) & (following != end_token)
    target = F.pad(following.where(is_input, PADDING)[:, :-1], (1, 0), value=start_token)
    return source_BS, target, following


def span_counts(
    num_tokens: Tensor, fraction: float, span_length: float, max_spans: int
) -> tuple[Tensor, Tensor]:
    """How many tokens are left out of so many, and in how many spans.

    At least one, and never all; none of fewer than two.

    Args:
        num_tokens: Any shape, int64.
        fraction, span_length: See `corrupt_spans`.
        max_spans: At most so many.
    Returns:
        Both like ``num_tokens``.
    """
    hidden = (num_tokens * fraction).round().long().clamp(min=1)
    hidden = hidden.minimum(num_tokens - 1).clamp(min=0)
    spans = (hidden / span_length).round().long().clamp(min=1, max=max_spans)
    # Between two spans stands a token.
    return hidden, spans.minimum(hidden).minimum(num_tokens - hidden + 1)


def spans_needed(length: int, fraction: float, span_length: float) -> int:
    """Most spans that a text of at most ``length`` tokens has."""
    return int(span_counts(torch.arange(length + 1), fraction, span_length, length)[1].max())


def _spans(
    numbers: Tensor, num_B1: Tensor, hidden_B1: Tensor, spans_B1: Tensor, max_spans: int
) -> tuple[Tensor, Tensor]:
    """Where each span begins and ends, among the tokens that can be hidden: ``(B, P)`` twice.

    The hidden tokens, put together, are cut at ``spans - 1`` of the places between them. What stays
    has a place before each token and one behind all: each span stands at another one.
    """
    ends_BP = _chosen(numbers[0], hidden_B1 - 1, spans_B1 - 1, max_spans) + 1
    ends_BP = ends_BP.minimum(hidden_B1)  # the last span has no cut behind it
    before_BP = F.pad(ends_BP[:, :-1], (1, 0))
    slots_BP = _chosen(numbers[1], num_B1 - hidden_B1 + 1, spans_B1, max_spans)
    # Spans that there are not stand behind everything, and are empty.
    return slots_BP + before_BP, slots_BP + ends_BP


def _chosen(numbers: Tensor, num_places: Tensor, count: Tensor, width: int) -> Tensor:
    """``count`` different ones of ``num_places`` places ``(B, 1)``, each set equally likely.

    Args:
        numbers: Random ones, shape ``(B, T)``.
    Returns:
        Shape ``(B, width)``, rising; T where there are no more.
    """
    length = numbers.shape[1]
    place_T = torch.arange(length, device=numbers.device)
    keys = numbers.masked_fill(place_T >= num_places, 2.0)  # behind all the others
    rank = keys.argsort(dim=1, stable=True).argsort(dim=1)
    chosen = place_T.where(rank < count, length).sort(dim=1).values
    return F.pad(chosen, (0, max(0, width - length)), value=length)[:, :width].contiguous()


def _gathered(values: Tensor, is_kept: Tensor, padding: int) -> Tensor:
    """The values that are kept, moved to the front of their rows: ``(B, S)``."""
    place = is_kept.cumsum(dim=1) - 1
    width = int(place.max()) + 1
    rows = values.new_full((len(values), width + 1), padding)
    rows.scatter_(1, place.where(is_kept, width), values)
    return rows[:, :width]
