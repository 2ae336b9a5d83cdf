"""Images of any size for networks that halve them several times."""

import torch.nn.functional as F
from torch import Tensor, nn


class Padded(nn.Module):
    """A network on images whose last row and column are repeated until it can halve them.

    Args:
        network: Takes ``(B, C, H, W)``, with sides that are multiples of ``step``, and gives scores
            of the same height and width.
        step: Pixels of a side that become one at the smallest size.
    """

    def __init__(self, network: nn.Module, step: int):
        super().__init__()
        self.network = network
        self.step = step

    @staticmethod
    def side(length: int, step: int) -> int:
        """``length`` in pixels, padded: two steps or more, since norms over one pixel fail."""
        return max(2 * step, length + -length % step)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs, H, W)``."""
        height, width = x_BCHW.shape[2:]
        more = (self.side(width, self.step) - width, self.side(height, self.step) - height)
        if more != (0, 0):
            # Edges rather than zeros: a black margin is an object to the network.
            x_BCHW = F.pad(x_BCHW, (0, more[0], 0, more[1]), mode="replicate")
        return self.network(x_BCHW)[:, :, :height, :width]
