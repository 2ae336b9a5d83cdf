"""Rotary positions: turns, and scores that depend on the distance alone."""

import torch

from dlplug.architectures.transformer.rotary import rotate, rotations


def at(x, position):
    return rotate(x, *rotations(1, position, x.shape[-1], 10000.0, x.device))


def test_scores_depend_on_the_distance_alone():
    """The same three positions apart, wherever they stand; lengths stay."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    scores = [(at(q, p + 3) * at(k, p)).sum() for p in (0, 7, 100)]
    # Angles are float32.
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(3), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(at(q, 50).norm(), q.norm(), rtol=1e-6, atol=0)
    assert not torch.allclose((at(q, 4) * at(k, 0)).sum(), scores[0])


def test_pairs_turn_as_complex_numbers():
    """Numbers j and j + K / 2 times exp(i position base^(-2 j / K))."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, 5, 6)
    turned = rotate(x, *rotations(5, 2, 6, 100.0, x.device))
    a, b = x.chunk(2, dim=-1)
    angle = torch.arange(2, 7.0)[:, None] * 100.0 ** (-torch.arange(3) * 2 / 6)
    expected = torch.complex(a, b) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], -1))
