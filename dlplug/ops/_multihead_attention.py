"""The forward pass of multi-head attention, for modules with the state of torch's."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.errors import DtypeError, OpError, ShapeError
from dlplug.ops.attention import attention


class FusedMultihead:
    """Stands before ``torch.nn.MultiheadAttention`` among the bases of a class.

    Calls for the weights, and of nested tensors, go to PyTorch's own code.
    """

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
        """Attend from every query to every key that no mask hides.

        Args:
            query: ``(N, L, E)`` with ``batch_first``, else ``(L, N, E)``; or ``(L, E)``.
            key: ``(N, S, kdim)``, ``(S, N, kdim)`` or ``(S, kdim)``.
            value: Likewise, of width ``vdim``.
            key_padding_mask: ``(N, S)`` or ``(S,)``; bool (True: hidden) or float (added).
            need_weights: Return the weights too.
            attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``; bool (True: hidden) or float.
            average_attn_weights: The weights returned are means over the heads.
            is_causal: ``attn_mask`` is the causal mask; it is then not read where it need not be.
        Returns:
            Output like ``query``; the weights ``(N, L, S)``, per head ``(N, num_heads, L, S)``, or
            None without ``need_weights``.
        Raises:
            ShapeError: Sizes that do not belong together.
            DtypeError: A mask that is neither bool nor float.
            OpError: ``is_causal`` without ``attn_mask``.
        """
        if need_weights or query.is_nested:
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask,
                average_attn_weights, is_causal,
            )  # fmt: skip
        self._check(query, key, value, key_padding_mask, attn_mask, is_causal)
        q, k, v = self._project(query, key, value)
        k, v = self._append(k, self.bias_k), self._append(v, self.bias_v)
        num_appended = (self.bias_k is not None) + self.add_zero_attn
        if is_causal and key_padding_mask is None and num_appended == 0:
            attn_mask = None
        else:  # the hint says nothing of padding, and would hide what is appended
            is_causal = False
        mask = self._mask(attn_mask, key_padding_mask, num_appended, q.dtype)
        q, k, v = (x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        heads = attention(q, k, v, mask, self.dropout if self.training else 0.0, is_causal)
        out = self.out_proj  # read, not called, as in torch: its hooks stay silent
        has_batch_first = self.batch_first or query.dim() == 2
        # The product comes in the output's layout, as torch's: callers take views of it.
        heads = heads.transpose(1, 2) if has_batch_first else heads.permute(2, 0, 1, 3)
        output = F.linear(heads.flatten(2), out.weight, out.bias)
        return output.squeeze(0) if query.dim() == 2 else output, None

    def _check(self, query, key, value, key_padding_mask, attn_mask, is_causal) -> None:
        name = "MultiheadAttention"
        shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
        if query.dim() not in (2, 3) or not query.dim() == key.dim() == value.dim():
            raise ShapeError(f"{name}: 2 or 3 axes each are needed, got {shapes}")
        widths = (self.embed_dim, self.kdim, self.vdim)
        if (query.size(-1), key.size(-1), value.size(-1)) != widths:
            raise ShapeError(f"{name}: the last sizes must be {widths}, got {shapes}")
        batch, queries, _ = self._batch_first(query).shape
        key_batch, keys, _ = self._batch_first(key).shape
        if key.shape[:-1] != value.shape[:-1] or key_batch != batch:
            raise ShapeError(f"{name}: lengths or batch sizes differ: {shapes}")
        if is_causal and attn_mask is None:
            raise OpError(f"{name}: is_causal says that attn_mask is causal, but there is none")
        padding_shape = (batch, keys) if query.dim() == 3 else (keys,)
        _check_mask("key_padding_mask", key_padding_mask, padding_shape)
        mask_shapes = (queries, keys), (batch * self.num_heads, queries, keys)
        _check_mask("attn_mask", attn_mask, *mask_shapes)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Projections ``(N, length, E)``; one product where the inputs are the same tensor."""
        if self.in_proj_weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        elif query is key and key is value:
            packed = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            return list(self._batch_first(packed).chunk(3, -1))
        else:
            weights = self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        given = zip((query, key, value), weights, biases, strict=True)
        return [self._batch_first(F.linear(x, weight, bias)) for x, weight, bias in given]

    def _batch_first(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return x[None]
        return x if self.batch_first else x.transpose(0, 1)

    def _append(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Keys or values ``(N, S, E)`` with the learnt one and that of zeros at the end."""
        parts = [x]
        if bias is not None:
            parts.append(bias.expand(x.size(0), 1, -1).to(x.dtype))
        if self.add_zero_attn:
            parts.append(x.new_zeros(x.size(0), 1, x.size(2)))
        return x if len(parts) == 1 else torch.cat(parts, 1)

    def _mask(
        self,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        num_appended: int,
        dtype: torch.dtype,
    ) -> Tensor | None:
        """Both masks as one of the op's: True where seen, or float to be added."""
        masks = []
        if attn_mask is not None:
            is_per_head = attn_mask.dim() == 3
            masks.append(attn_mask.unflatten(0, (-1, self.num_heads)) if is_per_head else attn_mask)
        if key_padding_mask is not None:
            masks.append(key_padding_mask.unsqueeze(-2).unsqueeze(-2))
        # What is appended is never hidden: False, or 0 added.
        masks = [F.pad(mask, (0, num_appended)) for mask in masks]
        if not masks:
            return None
        if all(mask.dtype == torch.bool for mask in masks):
            return ~(masks[0] | masks[-1])
        return sum(_added(mask, dtype) for mask in masks)


def _check_mask(name: str, mask: Tensor | None, *shapes: tuple[int, ...]) -> None:
    if mask is None:
        return
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise DtypeError(f"MultiheadAttention: {name} must be bool or float, got {mask.dtype}")
    if tuple(mask.shape) not in shapes:
        known = " or ".join(map(str, shapes))
        raise ShapeError(f"MultiheadAttention: {name} is {tuple(mask.shape)}, expected {known}")


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to be added: -inf where a bool mask hides."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -torch.inf)
