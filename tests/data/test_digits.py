"""The digits data module: as images and as rows of features."""

import sys

import pytest
import torch

from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError


def test_images_and_rows_hold_the_same_numbers():
    """flatten gives (B, 64) instead of (B, 1, 8, 8), and a spec without image sizes."""
    images, rows = Digits(), Digits(flatten=True)
    for data in (images, rows):
        data.setup("fit")
    assert images.read()[0].shape == (1797, 1, 8, 8)
    assert torch.equal(images.read()[0].flatten(1), rows.read()[0])
    assert DataSpec.of(images).image_size == 8
    assert DataSpec.of(rows).image_size is None
    assert DataSpec.of(images).num_features == DataSpec.of(rows).num_features == 64


def test_the_inputs_are_standardised():
    """Mean near 0 and deviation near 1 over all pixels."""
    data = Digits()
    data.setup("fit")
    inputs, _ = data.read()
    assert abs(float(inputs.mean())) < 0.01 and abs(float(inputs.std()) - 1) < 0.01


def test_prepared_input_equals_the_training_data():
    """Raw pixels 0 ... 16 become what the model was trained on."""
    from sklearn.datasets import load_digits

    data = Digits()
    data.setup("fit")
    prepared = data.prepare_input(load_digits().images[:5])
    assert torch.equal(prepared, data.read()[0][:5])


def test_a_missing_package_is_named(monkeypatch):
    """Without scikit-learn the message says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="scikit-learn") as error:
        Digits().setup("fit")
    assert "pip install 'dlplug[examples]'" in str(error.value)
