"""``torch.nn.MultiheadAttention`` over ``dlplug.ops.attention``."""

from torch import Tensor

from dlplug.errors import BackendError, OpError
from dlplug.ops._multihead_attention import FusedMultihead
from dlplug.ops.acceleration.swap import Swapped


class FusedMultiheadAttention(Swapped, FusedMultihead):
    """Calls without weights and without dropout; the others run PyTorch's own code.

    Which weights dropout drops depends on the generator that PyTorch's kernel asks: another kernel
    would train another model from the same seed.
    """

    ops = ("attention",)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        masks = (key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal)
        # With the hint, PyTorch hides what is appended; FusedMultihead does as the mask says.
        is_hiding = is_causal and (self.bias_k is not None or self.add_zero_attn)
        # The plain forward pass stands behind FusedMultihead's, which hands over what it refuses.
        if need_weights or is_hiding or (self.training and self.dropout > 0):
            return type(self).plain.forward(self, query, key, value, *masks)
        try:
            return super().forward(query, key, value, *masks)
        except BackendError:
            raise
        except OpError:
            return type(self).plain.forward(self, query, key, value, *masks)
