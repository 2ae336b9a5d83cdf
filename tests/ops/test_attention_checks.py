"""Tests of dlplug/ops/_attention_checks.py: every wrong call is told what is wrong with it."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import DtypeError, OpError, ShapeError

Q, K = torch.zeros(2, 4, 3, 8), torch.zeros(2, 4, 5, 8)
ONE, MASK = torch.zeros(1, 4, 5, 8), torch.ones(3, 5, dtype=torch.bool)


def starts(*values):
    return torch.tensor(values, dtype=torch.int32)


# (arguments, options, exception, part of its text)
WRONG = [
    ((Q, K.double(), K), {}, DtypeError, "query, key and value are float32, float64"),
    ((Q.int(), K.int(), K.int()), {}, DtypeError, "query, key and value are int32"),
    ((Q, K.to("meta"), K), {}, OpError, "are on cpu, meta and cpu"),
    ((Q[0, 0, 0], K, K), {}, ShapeError, "at least 2 dimensions each are needed: query (8,)"),
    ((Q, K[..., :7], K), {}, ShapeError, "the last size of query and key differs"),
    ((Q, K, K[:, :, :4]), {}, ShapeError, "the number of keys and of values differs"),
    ((Q, K[:, :2], K[:, :2]), {}, ShapeError, "pass enable_gqa=True"),
    ((Q, K[:, :3], K[:, :3]), {"enable_gqa": True}, ShapeError, "4 query heads cannot share 3"),
    ((Q[0, 0], K[0, 0], K[0, 0]), {"enable_gqa": True}, ShapeError, "needs a head dimension"),
    ((Q, torch.cat([K, K[:1]]), K), {"enable_gqa": True}, ShapeError, "do not broadcast: query"),
    ((Q, K, K, MASK.int()), {}, DtypeError, "attn_mask is int32"),
    ((Q, K, K, MASK.double()), {}, DtypeError, "known: bool, float32"),
    ((Q, K, K, MASK.to("meta")), {}, OpError, "attn_mask is on meta, query on cpu"),
    ((Q, K, K, MASK.T), {}, ShapeError, "(5, 3) does not broadcast to the scores (2, 4, 3, 5)"),
    ((Q, K, K, MASK.expand(3, 1, 3, 5)), {}, ShapeError, "attn_mask (3, 1, 3, 5)"),
    ((Q, K, K), {"dropout_p": 1.5}, OpError, "dropout_p is 1.5"),
    ((Q, K, K), {"dropout_p": -0.1}, OpError, "dropout_p is -0.1"),
    ((Q, K, K), {"scale": "big"}, OpError, "scale is 'big'"),
    ((Q, K, K), {"softcap": 0.0}, OpError, "softcap is 0.0"),
    ((Q, K, K), {"softcap": float("inf")}, OpError, "softcap is inf"),
    ((Q, K, K), {"window": 3}, OpError, "window is 3 with is_causal=False"),
    ((Q, K, K), {"window": 0, "is_causal": True}, OpError, "window is 0 with is_causal=True"),
    ((Q, K, K), {"window": True, "is_causal": True}, OpError, "window is True"),
    ((Q, K, K), {"window": (1, -1)}, OpError, "window is (1, -1)"),
    ((Q, K, K), {"window": (1, 2, 3)}, OpError, "window is (1, 2, 3)"),
    ((Q, K, K), {"window": (1.5, None)}, OpError, "window is (1.5, None)"),
    ((Q, K, K), {"query_offset": 2}, OpError, "nothing depends on positions"),
    ((Q, K, K), {"query_offset": 1.0, "is_causal": True}, OpError, "query_offset is 1.0"),
    ((Q, K, K), {"query_offset": 2**60, "is_causal": True}, OpError, "stay within 2**60"),
    ((Q, K, K), {"query_offset": -(2**63), "is_causal": True}, OpError, "stay within 2**60"),
    ((Q, K, K), {"sinks": torch.zeros(3)}, ShapeError, "sinks is (3,) for a query (2, 4, 3, 8)"),
    ((Q[0, 0], K[0, 0], K[0, 0]), {"sinks": torch.zeros(4)}, ShapeError, "sinks is (4,)"),
    ((Q, K, K), {"sinks": torch.zeros(4).half()}, DtypeError, "sinks is float16"),
    ((Q, K, K), {"alibi_slopes": torch.zeros(4).int()}, DtypeError, "alibi_slopes is int32"),
    ((Q, K, K), {"alibi_slopes": torch.zeros(4, 1)}, ShapeError, "alibi_slopes is (4, 1)"),
    ((Q, K, K), {"sinks": torch.zeros(4, device="meta")}, OpError, "sinks is on meta"),
    ((ONE,) * 3, {"cu_seqlens": starts(0, 5).long()}, DtypeError, "cu_seqlens is int64"),
    ((ONE,) * 3, {"cu_seqlens": starts(0)}, ShapeError, "cu_seqlens is (1,)"),
    ((Q, Q, Q), {"cu_seqlens": starts(0, 3)}, ShapeError, "batch 1, as many keys as queries"),
    ((ONE[:, :, :4], ONE, ONE), {"cu_seqlens": starts(0, 4)}, ShapeError, "batch 1"),
    ((ONE,) * 3, {"cu_seqlens": starts(1, 5)}, OpError, "cu_seqlens is [1, 5]"),
    ((ONE,) * 3, {"cu_seqlens": starts(0, 4)}, OpError, "end with 5"),
    ((ONE,) * 3, {"cu_seqlens": starts(0, 4, 2, 5)}, OpError, "cu_seqlens is [0, 4, 2, 5]"),
    ((ONE,) * 3, {"cu_seqlens": starts(*range(9), 5)}, OpError, "[0, 1, 2, 3, '...', 5]"),
    (
        (ONE,) * 3,
        {"cu_seqlens": starts(0, 5), "query_offset": 1, "is_causal": True},
        OpError,
        "query_offset is 1 with cu_seqlens",
    ),
    ((ONE,) * 3, {"cu_seqlens_k": starts(0, 5)}, OpError, "given without cu_seqlens"),
    ((ONE[:, :, :4], ONE, ONE), {"cu_seqlens": starts(0, 4)}, ShapeError, "pass cu_seqlens_k"),
    (
        (ONE[:, :, :4], ONE, ONE),
        {"cu_seqlens": starts(0, 4), "cu_seqlens_k": starts(0, 4)},
        OpError,
        "cu_seqlens_k is [0, 4]",
    ),
    (
        (ONE[:, :, :4], ONE, ONE),
        {"cu_seqlens": starts(0, 2, 4), "cu_seqlens_k": starts(0, 5)},
        ShapeError,
        "cu_seqlens_k is (2,)",
    ),
    (
        (Q, K, K),
        {"cu_seqlens": starts(0, 3), "cu_seqlens_k": starts(0, 5)},
        ShapeError,
        "packed documents need batch 1",
    ),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize(("arguments", "options", "error", "text"), WRONG)
def test_a_wrong_call_is_refused_with_its_values(mode, arguments, options, error, text):
    """The same error on every backend, with the value and where it was given."""
    with ops.use_backend(mode), pytest.raises(error) as caught:
        ops.attention(*arguments, **options)
    assert type(caught.value) is error
    assert text in str(caught.value)
    assert "attention" in str(caught.value)


def test_sizes_that_belong_together_are_accepted():
    """Every mask shape that broadcasts, key heads of 1 without enable_gqa, no bound in a window."""
    for mask in (MASK, MASK[0], MASK[:, :1], MASK.expand(4, 3, 5), MASK.expand(2, 1, 3, 5)):
        assert ops.attention(Q, K, K, mask).shape == Q.shape
        assert ops.attention(Q, K, K, mask.float(), softcap=1.0).shape == Q.shape
    assert ops.attention(Q, K[:, :1], K[:, :1]).shape == Q.shape
    assert ops.attention(Q[:1], K, K).shape == Q.shape
    everything = ops.attention(Q, K, K, window=(None, None))
    assert everything.equal(ops.attention(Q, K, K))
