"""The most likely sequence that a model writes for a source, by beam search."""

import torch
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import PADDING


def beam_search(
    architecture: nn.Module,
    source: Tensor,
    start_token: int,
    end_token: int,
    max_length: int,
    beams: int = 1,
    length_penalty: float = 1.0,
) -> Tensor:
    """Tokens that follow the start token: the best of ``beams`` sequences kept at each step.

    With one beam it is greedy. Sequences are ranked by the sum of their log-probabilities divided
    by ``length ** length_penalty``; the sums alone would favour the short ones.

    Args:
        architecture: Called with ``source`` and ``target``, gives scores ``(B, T, C)``. One with
            ``memory(source, room)`` and ``next_scores(target, memory)`` reads each token once.
        source: Shape ``(B, S)`` int64.
        start_token: Begins every target.
        end_token: Ends it.
        max_length: Tokens to write, at most, the end token included.
        beams: Sequences kept at each step.
        length_penalty: 0 for no normalisation.
    Returns:
        Shape ``(B, t)`` int64, t at most ``max_length``; the end token and padding behind it.
    Raises:
        InvalidValueError: a value out of range.
    References: Wu et al. 2016, arXiv:1609.08144, section 7 (normalisation by length).
    """
    check_beams(beams, length_penalty, max_length)
    B, W, device = len(source), beams, source.device
    reader = _Reader(architecture, source.repeat_interleave(W, dim=0), max_length)
    tokens = torch.full((B * W, 1), start_token, device=device)
    # All beams of a source are equal at first: one of them is enough.
    sums_BW = torch.full((B, W), -torch.inf, device=device)
    sums_BW[:, 0] = 0
    lengths_BW = torch.zeros(B, W, dtype=torch.int64, device=device)
    is_done_BW = torch.zeros(B, W, dtype=torch.bool, device=device)
    first_B1 = torch.arange(B, device=device)[:, None] * W
    for _ in range(max_length):
        scores = reader.scores(tokens).float()
        # A sequence that has ended goes on with padding, at no cost, and nothing else.
        scores[:, [PADDING, start_token]] = -torch.inf
        logs_BWC = scores.log_softmax(dim=-1).view(B, W, -1)
        logs_BWC[is_done_BW] = -torch.inf
        logs_BWC[..., PADDING].masked_fill_(is_done_BW, 0.0)
        num_tokens = logs_BWC.shape[-1]
        sums_BW, best_BW = (sums_BW[..., None] + logs_BWC).flatten(1).topk(W, dim=1)
        beam_BW, token_BW = best_BW // num_tokens, best_BW % num_tokens
        rows = (first_B1 + beam_BW).flatten()
        tokens = torch.cat([tokens[rows], token_BW.view(-1, 1)], dim=1)
        if W > 1:  # a single beam stays where it is
            reader.select(rows)
        is_done_BW, lengths_BW = is_done_BW.gather(1, beam_BW), lengths_BW.gather(1, beam_BW)
        lengths_BW = lengths_BW + ~is_done_BW
        is_done_BW = is_done_BW | (token_BW == end_token)
        if is_done_BW.all():
            break
    ranks_BW = sums_BW / lengths_BW.clamp(min=1) ** length_penalty
    return tokens[(first_B1[:, 0] + ranks_BW.argmax(dim=1)), 1:]


def check_beams(beams: int, length_penalty: float, max_length: int | None) -> None:
    """The settings of `beam_search` are in their ranges.

    Raises:
        InvalidValueError: one is not.
    """
    if beams < 1 or length_penalty < 0 or (max_length is not None and max_length < 1):
        raise InvalidValueError(
            f"beam search: beams = {beams}, length_penalty = {length_penalty},"
            f" max_length = {max_length}",
            known="beams and max_length: 1 or more; length_penalty: 0 or more",
        )


class _Reader:
    """Scores of what follows growing targets; with a memory where the architecture has one."""

    def __init__(self, architecture: nn.Module, source: Tensor, room: int):
        self.architecture, self.source = architecture, source
        has_memory = hasattr(architecture, "memory") and hasattr(architecture, "next_scores")
        self.memory = architecture.memory(source, room) if has_memory else None

    def scores(self, tokens: Tensor) -> Tensor:
        """Shape ``(N, C)``, of a copy that one may change."""
        if self.memory is None:
            return self.architecture(source=self.source, target=tokens)[:, -1].clone()
        return self.architecture.next_scores(tokens[:, -1:], self.memory)[:, -1].clone()

    def select(self, rows: Tensor) -> None:
        """Go on with these sequences."""
        self.source = self.source[rows]
        self.memory = None if self.memory is None else self.memory.select(rows)
