"""Inputs made of a data spec are those that the data gives."""

import pytest
import torch

from dlplug.data.digits import Digits
from dlplug.data.example_inputs import example_inputs
from dlplug.data.spec import DataSpec
from dlplug.testing.forms import INPUTS


@pytest.mark.parametrize("name", INPUTS)
def test_every_form_is_made(name):
    """In the shapes and types of a batch; what forward takes tells a pair of texts from one."""
    form = INPUTS[name]
    names = ["source", "target"] if name == "pair" else ["x"]
    found, expected = example_inputs(DataSpec(**form.spec), 4, names), form.make(4)
    if not isinstance(expected, dict):
        found, expected = {"x": found}, {"x": expected}
    assert {k: (t.shape, t.dtype) for k, t in found.items()} == {
        k: (t.shape, t.dtype) for k, t in expected.items()
    }


@pytest.mark.parametrize(("flatten", "shape"), [(False, (2, 1, 8, 8)), (True, (2, 64))])
def test_pixels_are_an_image_where_the_data_gives_images(flatten, shape):
    """Its spec tells both."""
    assert example_inputs(Digits(flatten=flatten).data_spec).shape == shape


def test_sides_may_differ():
    """Height before width."""
    assert example_inputs(DataSpec(in_channels=3, image_size=(4, 6))).shape == (2, 3, 4, 6)


def test_a_spec_without_inputs_gives_none():
    """Such as that of a stranger's data module."""
    assert example_inputs(DataSpec(num_classes=3)) is None
    assert isinstance(example_inputs(DataSpec(num_features=1)), torch.Tensor)
