"""Tensors cut into pieces: any part of them, read from the pieces that hold it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlplug.storage.pieces import Box, Pieces, gap, replaced


def cut(tensor, dimension, ends):
    """Pieces of a tensor between the given places of one dimension."""
    parts, begin = [], 0
    for end in [*sorted(ends), tensor.shape[dimension]]:
        offsets, sizes = [0] * tensor.ndim, list(tensor.shape)
        offsets[dimension], sizes[dimension] = begin, end - begin
        box = Box(tuple(offsets), tuple(sizes))
        parts.append((box, tensor[box.slices].clone()))
        begin = end
    return Pieces(tuple(tensor.shape), tensor.dtype, tuple(parts))


@st.composite
def parts(draw):
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    dimension = draw(st.integers(0, len(shape) - 1))
    ends = draw(st.lists(st.integers(0, shape[dimension]), max_size=4))
    offsets = [draw(st.integers(0, size)) for size in shape]
    sizes = [draw(st.integers(0, n - o)) for n, o in zip(shape, offsets, strict=True)]
    return shape, dimension, ends, Box(tuple(offsets), tuple(sizes))


@given(parts())
def test_any_box_is_what_the_tensor_has_there(drawn):
    """However the tensor is cut, empty pieces and empty boxes included."""
    shape, dimension, ends, box = drawn
    tensor = torch.arange(torch.Size(shape).numel()).reshape(shape)
    pieces = cut(tensor, dimension, ends)
    assert gap(shape, [place for place, _ in pieces.parts]) is None
    assert torch.equal(pieces.take(box), tensor[box.slices])
    assert torch.equal(pieces.whole(), tensor)
    outline = pieces.outline()
    assert (outline.shape, outline.dtype, outline.device.type) == (
        tensor.shape,
        tensor.dtype,
        "meta",
    )


@pytest.mark.parametrize(
    "shape, boxes, reason",
    [
        ((4, 2), [((0, 0), (2, 2))], "end at 2 of 4"),
        ((4, 2), [((0, 0), (2, 2)), ((3, 0), (1, 2))], "do not meet at 2"),
        ((4, 2), [((0, 0), (3, 2)), ((2, 0), (2, 2))], "do not meet at 3"),
        ((4, 2), [((0, 0), (4, 2)), ((0, 0), (4, 2))], "do not meet at 4"),
        ((4, 2), [((0, 0), (2, 1)), ((2, 1), (2, 1))], "several dimensions"),
        ((4, 2), [((0,), (4,))], "number of dimensions"),
        ((), [((), ())], "number of dimensions"),
        ((4,), [], "end at 0 of 4"),
        ((4,), [((0,), (6,)), ((6,), (-2,))], "do not meet at 6|of 4|end"),
    ],
)
def test_boxes_that_are_not_the_tensor_are_found(shape, boxes, reason):
    """A hole, an overlap, a second copy, another cut: each element counts once."""
    assert gap(shape, [Box(*box) for box in boxes]) is not None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(gap(shape, [Box(*box) for box in boxes]))


def test_every_leaf_can_be_replaced():
    """Containers keep their types and order, and the original stays as it is."""
    value = {"a": [1, (2, 3)], 4: {"b": None}}
    changed = replaced(value, lambda path, leaf: (*path, leaf))
    second = ("a", 1, 0, 2), ("a", 1, 1, 3)
    assert changed == {"a": [("a", 0, 1), second], 4: {"b": (4, "b", None)}}
    assert value == {"a": [1, (2, 3)], 4: {"b": None}}
