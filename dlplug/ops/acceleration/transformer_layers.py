"""Residual additions in the layers of ``torch.nn.Transformer``, each in one pass with its norm."""

import torch
from torch import Tensor

from dlplug.ops.acceleration.norms import FusedAdditions, add_and_norm


class FusedEncoderLayer(FusedAdditions):
    """``torch.nn.TransformerEncoderLayer``.

    Where PyTorch's fast path may come (evaluation without gradients, nested tensors), its forward
    pass is left to run: that path computes a whole layer at once, and packs padded batches.
    """

    ops = ("add_layer_norm",)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        if src.is_nested or not (self.training or torch.is_grad_enabled()):
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)
        masks = (src_mask, src_key_padding_mask)
        if self.norm_first:
            attended = self._sa_block(self.norm1(src), *masks, is_causal=is_causal)
            y, h = add_and_norm(self.norm2, attended, src)
            return h + self._ff_block(y)
        attended = self._sa_block(src, *masks, is_causal=is_causal)
        x, _ = add_and_norm(self.norm1, attended, src)
        return add_and_norm(self.norm2, self._ff_block(x), x)[0]


class FusedDecoderLayer(FusedAdditions):
    """``torch.nn.TransformerDecoderLayer``, which has no fast path."""

    ops = ("add_layer_norm",)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        if self.norm_first:
            attended = self._sa_block(self.norm1(tgt), *own)
            y, h = add_and_norm(self.norm2, attended, tgt)
            y, h = add_and_norm(self.norm3, self._mha_block(y, *other), h)
            return h + self._ff_block(y)
        x, _ = add_and_norm(self.norm1, self._sa_block(tgt, *own), tgt)
        x, _ = add_and_norm(self.norm2, self._mha_block(x, *other), x)
        return add_and_norm(self.norm3, self._ff_block(x), x)[0]
