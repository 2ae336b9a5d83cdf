"""Blocks of a network, and norms over them."""

import pytest
import torch

from dlplug.callbacks.network.blocks import block_of, norm, read


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("architecture.blocks.3.qkv.weight", "blocks.3"),
        ("architecture.encoder.layers.0.norm.bias", "encoder.layers.0"),
        ("architecture.head.weight", "head"),
        ("loss.scale", "loss"),
    ],
)
def test_a_block_ends_at_the_first_number(name, block):
    """Or at the first part of the name where there is no number."""
    assert block_of(name) == block


def test_the_norm_is_that_of_all_tensors_together():
    """Absent ones count as zeros, half precision does not overflow."""
    tensors = [torch.tensor([3.0, 0.0]), None, torch.tensor([[4.0]])]
    assert float(norm(tensors)) == 5.0
    assert float(norm([None])) == 0.0
    assert float(norm([torch.full((4,), 4e4, dtype=torch.float16)])) == pytest.approx(8e4, rel=1e-3)


def test_numbers_are_read_at_once():
    """By name, in order."""
    assert read({"a": torch.tensor(1.5), "b": torch.tensor(2)}) == {"a": 1.5, "b": 2.0}
    assert read({}) == {}
