"""One output for a text from the mean of what a network of transformers gives for its tokens.

Names end in their shape: B texts, T positions, D features.
"""

import inspect
from typing import NamedTuple

from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug_transformers.settings import NAME


class Outputs(NamedTuple):
    """Named as the library's own outputs are.

    Args:
        logits: Shape ``(B, num_outputs)``.
    """

    logits: Tensor


class MeanPooled(nn.Module):
    """The body of a network, and a linear layer over the mean of its tokens.

    Args:
        network: Of transformers, for classes of a text; its own last layers are left out.
        num_outputs: Outputs of a text.
    Raises:
        InvalidValueError: the library's network has no body of its own.
    References: Reimers, Gurevych 2019, arXiv:1908.10084, section 3 (mean of all tokens).
    """

    def __init__(self, network: nn.Module, num_outputs: int):
        super().__init__()
        self.config = network.config
        self.body = network.base_model
        if self.body is network:
            raise InvalidValueError(
                f"{NAME}: {network.config.model_type} has no pooling = 'mean'",
                fix="delete architecture.pooling",
            )
        # It reads the first token alone, and its weights would get no gradient here.
        if getattr(self.body, "pooler", None) is not None:
            self.body.pooler = None
        self.takes_mask = "attention_mask" in inspect.signature(self.body.forward).parameters
        self.classifier = nn.Linear(network.config.hidden_size, num_outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """Outputs of tokens ``(B, T)`` and a mask of the same shape, 1 or 0, int64."""
        arguments = {"attention_mask": attention_mask} if self.takes_mask else {}
        features_BTD = self.body(input_ids=input_ids, **arguments).last_hidden_state
        is_token_BT1 = attention_mask[..., None].to(features_BTD.dtype)
        mean_BD = (features_BTD * is_token_BT1).sum(1) / is_token_BT1.sum(1)
        return Outputs(logits=self.classifier(mean_BD))
