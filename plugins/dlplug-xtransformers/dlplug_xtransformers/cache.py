"""Keys and values of tokens that were read, for generating; checked against reading all again."""

import warnings
from typing import Any

import torch
from torch import Tensor
from x_transformers import TransformerWrapper

PROBE = 6
"""Tokens of the probe."""


class Cache:
    """What a decoder remembers of the tokens before.

    Some of the library's options (``shift_tokens`` for one) give other scores with its cache than
    without, and it does not tell which. So the first thing is a probe: a few tokens, read both
    ways. Where the scores differ, or the library says that it cannot, all tokens are read again
    for each new one, which is slow and right; a warning says so.

    Args:
        network: In evaluation mode.
    """

    def __init__(self, network: TransformerWrapper):
        self.network = network
        self.tokens: Tensor | None = None
        self.known: Any = None
        self.is_used = network.can_cache_kv and self._agrees()
        if not self.is_used:
            warnings.warn(
                "x-transformers cannot cache with these options: each new token reads all of them",
                stacklevel=2,
            )

    def scores_of(self, tokens: Tensor) -> Tensor:
        """Scores ``(B, T, C)`` of new tokens ``(B, T)``, after all that came before."""
        if self.is_used:
            return self._continued(tokens)
        before = [] if self.tokens is None else [self.tokens]
        self.tokens = torch.cat([*before, tokens], dim=1)
        return self.network(self.tokens)[:, -tokens.shape[1] :]

    def _continued(self, tokens: Tensor) -> Tensor:
        scores, self.known = self.network(
            tokens, cache=self.known, input_not_include_cache=True, return_intermediates=True
        )
        return scores

    @torch.no_grad()
    def _agrees(self) -> bool:
        network = self.network
        count = min(PROBE, network.max_seq_len)
        device = next(network.parameters()).device
        tokens = (1 + torch.arange(count, device=device)[None] * 7) % network.num_tokens
        try:
            parts = [self._continued(part) for part in (tokens[:, :2], *tokens[:, 2:].split(1, 1))]
        except (AssertionError, RuntimeError, ValueError, IndexError):
            return False
        finally:
            self.known = None
        expected = network(tokens)
        # Far above rounding, far below what another token would change.
        tolerance = 1e-3 * expected.abs().max().clamp(min=1e-3)
        return bool((torch.cat(parts, dim=1) - expected).abs().max() <= tolerance)
