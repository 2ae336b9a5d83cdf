"""DataSpec: facts about the data and the parameter names that ask for them."""

import subprocess
import sys

import pytest

from dlplug.data.spec import FIELDS, SYNONYMS, DataSpec
from dlplug.errors import InvalidValueError, UnknownKeyError


def test_a_square_image_has_one_size():
    """(28, 28) is 28, and (28, 32) stays two numbers."""
    assert DataSpec(image_size=(28, 28)).image_size == 28
    assert DataSpec(image_size=[28, 32]).image_size == (28, 32)


def test_plain_data_and_back():
    """to_dict gives lists and known fields only; from_dict restores the spec."""
    spec = DataSpec(num_classes=2, class_names=("a", "b"), image_size=(4, 6))
    assert spec.to_dict() == {"image_size": [4, 6], "num_classes": 2, "class_names": ["a", "b"]}
    assert DataSpec.from_dict(spec.to_dict()) == spec


def test_value_for_understands_synonyms():
    """A parameter called d_in gets num_features; an unrelated one gets None."""
    spec = DataSpec(num_features=64, image_size=8)
    assert spec.value_for("num_features") == spec.value_for("d_in") == 64
    assert spec.value_for("img_size") == 8
    assert spec.value_for("num_classes") is None
    assert spec.value_for("hidden") is None


def test_synonyms_stand_for_fields():
    """No synonym is a field itself, and each stands for an existing one."""
    assert set(SYNONYMS.values()) <= set(FIELDS)
    assert not set(SYNONYMS) & set(FIELDS)


def test_from_dict_takes_synonyms_and_refuses_others():
    """img_size is understood; a misspelt key is named with the nearest match."""
    assert DataSpec.from_dict({"img_size": 8}) == DataSpec(image_size=8)
    with pytest.raises(UnknownKeyError, match="did you mean 'num_classes'") as error:
        DataSpec.from_dict({"num_clases": 3})
    assert "unknown key 'num_clases'" in str(error.value)


@pytest.mark.parametrize("value", [0, -1, 2.5, "3"])
def test_counts_are_whole_and_positive(value):
    """A count of 0 or half a class is refused with its value."""
    with pytest.raises(InvalidValueError, match="num_classes = "):
        DataSpec(num_classes=value)


def test_class_names_are_one_per_class():
    """Three names for two classes are refused."""
    with pytest.raises(InvalidValueError, match="3 class_names for num_classes = 2"):
        DataSpec(num_classes=2, class_names=("a", "b", "c"))


def test_of_takes_any_published_form():
    """A spec, a mapping with synonyms, and nothing at all."""

    class Module:
        data_spec = None

    module = Module()
    assert DataSpec.of(module) == DataSpec()
    module.data_spec = {"d_out": 3}
    assert DataSpec.of(module) == DataSpec(num_classes=3)
    module.data_spec = DataSpec(num_classes=4)
    assert DataSpec.of(module) is module.data_spec


def test_the_spec_imports_neither_torch_nor_lightning():
    """The module is cheap, for help and config checks."""
    code = "import sys, dlplug.data.spec; print({'torch', 'lightning', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
