"""Join what a table gives to what a network of two arguments takes."""

from torch import Tensor, nn


class Columns(nn.Module):
    """A network called with numbers and categories, of which a table may lack one.

    Args:
        network: Called as ``network(numbers, categories)``, with None for what there is not.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x_cont: Tensor | None = None, x_cat: Tensor | None = None) -> Tensor:
        """Outputs of numbers ``(B, F)``, float, and indices of categories ``(B, K)``, int64.

        These are the names in dlplug's batches; rows ``(B, F)`` come as the first argument.
        """
        return self.network(x_cont, x_cat)
