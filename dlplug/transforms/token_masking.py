"""Replace some tokens of a text, so that no single one decides."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import PADDING, UNKNOWN


def token_masking(tokens: Tensor, share: float, replacement: int = UNKNOWN) -> Tensor:
    """Each token becomes ``replacement`` with probability ``share``; padding stays.

    Random numbers come from torch's global generator.

    Args:
        tokens: Shape ``(B, T)``, integer.
        share: In [0, 1).
        replacement: A token.
    Returns:
        Tensor like ``tokens``.
    References: Iyyer et al. 2015, Deep unordered composition rivals syntactic methods (word
        dropout).
    """
    if share == 0:
        return tokens
    # CPU numbers: the same on every device.
    is_hit = (torch.rand(tokens.shape) < share).to(tokens.device)
    return tokens.masked_fill(is_hit & (tokens != PADDING), replacement)


class TokenMasking:
    """`token_masking` with fixed settings, to be called on batches of tokens.

    Args:
        share: Of the tokens, in [0, 1).
        replacement: What they become; 1 is the unknown token of dlplug's tokenizers.
    Raises:
        InvalidValueError: a value out of range, or inputs that are no tokens.
    """

    def __init__(self, share: float = 0.1, replacement: int = UNKNOWN):
        if not 0 <= share < 1 or replacement < 1:
            raise InvalidValueError(
                f"token_masking: share = {share}, replacement = {replacement}",
                known="share: in [0, 1); replacement: a token of 1 or more, for 0 is padding",
            )
        self.share = share
        self.replacement = replacement

    def __call__(self, tokens: Tensor) -> Tensor:
        """See `token_masking`."""
        if not isinstance(tokens, Tensor) or tokens.is_floating_point():
            raise InvalidValueError("token_masking: the inputs are no tokens (B, T)")
        return token_masking(tokens, self.share, self.replacement)

    def __repr__(self) -> str:
        return f"TokenMasking(share={self.share}, replacement={self.replacement})"
