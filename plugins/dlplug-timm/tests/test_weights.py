"""Weights from local files."""

import pytest
import timm
import torch
from dlplug_timm import models
from dlplug_timm.export import main as export
from dlplug_timm.weights import read_weights
from safetensors.torch import save_file

from dlplug.errors import CheckpointError, InvalidValueError


@pytest.fixture
def trained():
    """A network with three channels and five outputs whose every value is another one's."""
    torch.manual_seed(1)
    return models.test_resnet(5)


def saved(state, path, wrap):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(wrap(state), path)
    return str(path)


def checkpoint(state):
    """As a run of dlplug writes it."""
    named = {f"architecture.{key}": value for key, value in state.items()}
    return {"state_dict": {**named, "loss.weight": torch.ones(5)}, "epoch": 3}


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("x.safetensors", dict),
        ("x.pth", dict),
        ("x.pth", lambda state: {"model": {f"module.{k}": v for k, v in state.items()}}),
        ("x.ckpt", checkpoint),
    ],
)
def test_every_weight_is_taken(trained, tmp_path, file, wrap):
    """From each form of file; the head too where it has the same width."""
    path = saved(trained.state_dict(), tmp_path / file, wrap)
    model = models.test_resnet(5, weights=path)
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=0, atol=0)


def test_a_head_of_another_width_is_new_and_the_rest_is_taken(trained, tmp_path):
    """It is initialised as timm does without a file."""
    path = saved(trained.state_dict(), tmp_path / "x.safetensors", dict)
    model = models.test_resnet(3, weights=path)
    assert model.fc.weight.shape == (3, trained.fc.in_features)
    assert not torch.equal(model.fc.weight, trained.fc.weight[:3]) and model.fc.weight.std() > 0
    state = model.state_dict()
    for key, value in trained.state_dict().items():
        if not key.startswith("fc."):
            torch.testing.assert_close(state[key], value, rtol=0, atol=0)


def test_a_file_without_a_head_will_do(trained, tmp_path):
    """As features are published."""
    state = {k: v for k, v in trained.state_dict().items() if not k.startswith("fc.")}
    path = saved(state, tmp_path / "x.safetensors", dict)
    assert torch.equal(models.test_resnet(5, weights=path).layer1[0].conv1.weight, state[FIRST])


FIRST = "layer1.0.conv1.weight"


def test_the_first_convolution_is_adapted_to_the_channels(trained, tmp_path):
    """Grey images get the sum over the channels: the same output as of a grey RGB image."""
    path = saved(trained.state_dict(), tmp_path / "x.pth", dict)
    model = models.test_resnet(5, in_channels=1, weights=path).eval()
    grey = torch.randn(2, 1, 32, 32)
    expected = trained.eval()(grey.expand(2, 3, 32, 32))
    torch.testing.assert_close(model(grey), expected, rtol=1e-4, atol=1e-5)
    # And from one channel to three, which is where a grey file starts.
    one = saved(model.state_dict(), tmp_path / "one.pth", dict)
    again = models.test_resnet(5, in_channels=3, weights=one).eval()
    torch.testing.assert_close(again(grey.expand(2, 3, 32, 32)), expected, rtol=1e-4, atol=1e-5)


def test_positions_are_adapted_to_the_image(tmp_path):
    """Those of another grid are interpolated; everything else is taken as it is."""
    torch.manual_seed(2)
    small = models.test_vit(4, image_size=32, patch_size=8)
    path = saved(small.state_dict(), tmp_path / "x.safetensors", dict)
    large = models.test_vit(4, image_size=64, patch_size=8, weights=path)
    assert large.pos_embed.shape[1] - small.pos_embed.shape[1] == 64 - 16
    key = "blocks.0.attn.qkv.weight"
    assert torch.equal(large.state_dict()[key], small.state_dict()[key])


def test_weights_of_another_model_are_refused_with_their_keys(trained, tmp_path):
    """Missing ones, unknown ones and those of another shape; never half a model."""
    state = trained.state_dict()
    state["more"] = torch.zeros(1)
    state[FIRST] = torch.zeros(2, 2)
    del state["conv1.0.weight"]
    path = saved(state, tmp_path / "x.safetensors", dict)
    with pytest.raises(CheckpointError) as caught:
        models.test_resnet(5, weights=path)
    assert "do not fit timm.test_resnet: 1 missing: conv1.0.weight; 1 unknown: more; 1 of" in str(
        caught.value
    )
    assert f"of another shape: {FIRST} (2, 2) instead of (" in str(caught.value)


def test_with_another_head_nothing_else_may_differ(trained, tmp_path):
    """timm itself would take what fits then, and say nothing."""
    state = {k: v for k, v in trained.state_dict().items() if k != "layer1.0.bn1.bias"}
    path = saved(state, tmp_path / "x.safetensors", dict)
    with pytest.raises(CheckpointError, match=r"1 missing: layer1\.0\.bn1\.bias"):
        models.test_resnet(3, weights=path)


class Payload:
    """Would write a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("file", ["x.pth", "x.safetensors"])
def test_a_file_with_code_is_refused_and_does_not_run(tmp_path, file):
    """Whatever its name is."""
    mark = tmp_path / "mark"
    torch.save({"a": Payload(mark)}, tmp_path / file)
    with pytest.raises(CheckpointError, match="cannot read weights"):
        read_weights(str(tmp_path / file))
    assert not mark.exists()


def test_a_missing_file_is_told_with_its_neighbours(tmp_path):
    """So is one that holds something else than weights."""
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"no weights file(.|\n)*known: list\.pth"):
        read_weights(str(tmp_path / "x.pth"))
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(str(tmp_path / "list.pth"))


def test_the_weights_of_a_run_can_be_written_for_others(trained, tmp_path, capsys):
    """timm itself reads the file, and gives the same outputs."""
    path = saved(trained.state_dict(), tmp_path / "x.ckpt", checkpoint)
    target = tmp_path / "new" / "x.safetensors"
    assert export([path, str(target)], None) == 0
    assert f"tensors to {target}" in capsys.readouterr().out
    model = timm.create_model("test_resnet", num_classes=5, checkpoint_path=str(target))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.eval()(x), trained.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("arguments", [[], ["a"], ["a", "b.pth"], ["a", "b", "c"]])
def test_export_needs_two_arguments(arguments):
    """The message says which."""
    with pytest.raises(InvalidValueError, match="timm_export CHECKPOINT FILE"):
        export(arguments, None)
