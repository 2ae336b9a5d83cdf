"""A network of transformers, called with tokens alone as dlplug calls every architecture.

Names end in their shape: B sequences, T positions, O outputs.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from dlplug.nn.absent import PADDING


class Network(nn.Module):
    """Tokens to outputs for each position, or for the whole sequence; token 0 is padding.

    Args:
        network: Of transformers.
        padding: What the network calls padding: it and token 0 change places.
        num_outputs: O, where there is an output for each token; None leaves the outputs.
    """

    def __init__(self, network: nn.Module, padding: int = PADDING, num_outputs: int | None = None):
        super().__init__()
        self.network = network
        self.padding = padding
        self.num_outputs = num_outputs
        parameters = inspect.signature(network.forward).parameters
        self.takes_mask = "attention_mask" in parameters

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(B, T, O)`` or ``(B, O)`` of tokens ``(B, T)`` int64."""
        arguments: dict[str, Any] = {}
        if self.takes_mask:
            is_token_BT = x != PADDING
            # A text without any token sees its first position: a mean over nothing is no number.
            is_token_BT = torch.cat([torch.ones_like(is_token_BT[:, :1]), is_token_BT[:, 1:]], 1)
            arguments["attention_mask"] = is_token_BT.long()
        return self._outputs(x, **arguments)

    def _outputs(self, x: Tensor, **arguments: Any) -> Tensor:
        outputs = self.network(input_ids=self._numbers(x), **arguments).logits
        if self.num_outputs is None:
            return outputs
        # More rows than tokens are there for the sake of the hardware.
        outputs, p = outputs[..., : self.num_outputs], self.padding
        if p == PADDING:
            return outputs
        parts = (
            outputs[..., p : p + 1],
            outputs[..., 1:p],
            outputs[..., :1],
            outputs[..., p + 1 :],
        )
        return torch.cat(parts, dim=-1)

    def _numbers(self, x: Tensor) -> Tensor:
        """The tokens as the network numbers them."""
        if self.padding == PADDING:
            return x
        return torch.where(x == PADDING, self.padding, torch.where(x == self.padding, PADDING, x))


class CachedNetwork(Network):
    """A decoder that reads each token of a growing text once; arguments as for `Network`."""

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        """Outputs ``(B, T, O)``.

        Args:
            x: Tokens ``(B, T)``; with a cache, only the next ones, without padding.
            cache: From `new_cache`; the positions are added to it.
        """
        if cache is None:
            return super().forward(x)
        return self._outputs(x, past_key_values=cache, use_cache=True)

    def new_cache(self, batch_size: int, room: int) -> Any:
        """An empty cache; it grows with what is read."""
        from transformers import DynamicCache

        return DynamicCache(config=self.network.config)


def wrapped(network: nn.Module, padding: int, num_outputs: int | None, is_causal: bool) -> Network:
    """The network as an architecture, with a cache where it has one of keys and values."""
    has_cache = "past_key_values" in inspect.signature(network.forward).parameters
    cls = CachedNetwork if is_causal and has_cache else Network
    return cls(network, padding, num_outputs)
