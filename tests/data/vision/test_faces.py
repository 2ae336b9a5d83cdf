"""The faces data module."""

import sys

import pytest
import torch

from dlplug.data.vision.faces import Faces
from dlplug.errors import DataError


def test_it_holds_100_faces_and_100_others():
    """Standardised, divided so that both classes have the same shares."""
    data = Faces()
    data.setup("fit")
    images, labels = data.read()
    assert images.shape == (200, 1, 25, 25) and int(labels.sum()) == 100
    assert abs(float(images.mean())) < 0.01 and abs(float(images.std()) - 1) < 0.01
    assert data.split_sizes == {"train": 140, "validation": 20, "test": 40}
    assert int(data.split("train").labels.sum()) == 70


def test_prepared_input_equals_the_training_data():
    """Raw pixels 0 ... 1 become what the model was trained on."""
    from skimage.data import lfw_subset

    assert torch.equal(Faces().prepare_input(lfw_subset()[:3]), Faces().read()[0][:3])


def test_a_missing_package_is_named(monkeypatch):
    """Without scikit-image the message says what to install."""
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(DataError, match="scikit-image") as error:
        Faces().setup("fit")
    assert "pip install 'dlplug[examples]'" in str(error.value)
