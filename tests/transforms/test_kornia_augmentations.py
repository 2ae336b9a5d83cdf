"""build: what kornia does not have, and what its augmentations refuse."""

import sys

import pytest

from dlplug.errors import DataError, InvalidValueError
from dlplug.transforms.kornia import Kornia


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("RandomAfine", {}, "no augmentation 'RandomAfine'\n.*\n.*did you mean 'RandomAffine'"),
        ("Resize", {"size": 8}, "no augmentation 'Resize'"),
        ("RandomAffine", {"degree": 3}, "no argument 'degree'\n.*\n.*did you mean 'degrees'"),
        ("RandomAffine", {}, "refuses its arguments .* missing 1 required .* 'degrees'"),
        ("RandomAffine", {"degrees": "far"}, "refuses its arguments {'degrees': 'far'}"),
        ("RandomGrayscale", {"rgb_weights": "abc"}, "refuses its arguments {'rgb_weights': 'abc'}"),
        ("RandomGrayscale", {"p": 2}, r"RandomGrayscale: p = 2 is not in \[0, 1\]"),
        ("RandomGrayscale", {"p": "often"}, "p = 'often' is not in"),
    ],
)
def test_wrong_names_and_arguments_are_refused(name, arguments, message):
    """What, what is known, and the nearest name."""
    with pytest.raises(InvalidValueError, match=message):
        Kornia(name, arguments)


def test_without_the_package_the_extra_is_named(monkeypatch):
    """As for every optional dependency."""
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)
    with pytest.raises(DataError, match="needs the package kornia") as error:
        Kornia("RandomGamma")
    assert error.value.fix == "pip install 'dlplug[augmentation]'"
