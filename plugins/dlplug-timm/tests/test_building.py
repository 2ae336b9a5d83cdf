"""timm's models as functions that a config can call."""

import inspect

import pytest
import timm
import torch
from dlplug_timm import models

from dlplug.errors import InvalidValueError


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("test_resnet", {}), ("test_vit", {"image_size": (32, 48), "patch_size": 8})],
)
def test_outputs_channels_and_size_are_those_that_were_asked_for(name, arguments):
    """The head has one column for each output, the first layer takes the image's channels."""
    model = getattr(models, name)(5, in_channels=1, **arguments)
    height, width = arguments.get("image_size", (40, 36))
    assert model(torch.zeros(2, 1, height, width)).shape == (2, 5)


def test_the_network_is_timms():
    """With one seed, the same weights as timm's own function gives."""
    torch.manual_seed(0)
    ours = models.test_resnet(7, in_channels=2, drop_rate=0.25)
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", num_classes=7, in_chans=2, drop_rate=0.25)
    x = torch.randn(2, 2, 32, 32)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)
    assert ours.drop_rate == 0.25


def test_only_models_of_one_size_take_it():
    """Others would accept it and ignore it."""
    sized = [n for n in ("resnet18", "vit_tiny_patch16_224") if _takes(n, "image_size")]
    assert sized == ["vit_tiny_patch16_224"]
    assert all(_takes(name, "num_outputs") for name in ("resnet18", "vit_tiny_patch16_224"))


def _takes(name, parameter):
    return parameter in inspect.signature(getattr(models, name)).parameters


def test_a_function_is_made_once_and_says_what_it_is():
    """Its docstring holds timm's, and what each argument means."""
    assert models.resnet18 is models.resnet18
    assert models.resnet18.__doc__.startswith("timm's resnet18, a ResNet.")
    assert "image_size:" in models.vit_tiny_patch16_224.__doc__
    assert "image_size:" not in models.resnet18.__doc__


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("test_resnet", {"stem_widht": 3}, "stem_widht(.|\n)*did you mean 'stem_width'"),
        ("test_resnet", {"drop_rate": 1.0}, r"drop_rate = 1.0 is not in \[0, 1\)"),
        ("test_vit", {"image_size": 8}, "image_size = 8 is smaller than one patch"),
        ("test_vit", {"num_heads": 5}, "num_heads = 5"),
    ],
)
def test_impossible_arguments_are_refused(name, arguments, message):
    """Before training, with the value, or the nearest name."""
    with pytest.raises(InvalidValueError, match=message):
        getattr(models, name)(2, **arguments)


def test_a_model_without_a_head_is_refused():
    """timm takes the number of classes there, and ignores it."""
    with torch.device("meta"), pytest.raises(InvalidValueError, match="has no head"):
        models.gemma4_vit_167m_enc(7)


def test_an_unknown_model_is_refused_with_the_nearest():
    """As an attribute that the module does not have."""
    with pytest.raises(AttributeError, match="no model 'resnet19'; did you mean 'resnet1"):
        models.resnet19  # noqa: B018 - asking for it is the test
    assert not hasattr(models, "__path__")
