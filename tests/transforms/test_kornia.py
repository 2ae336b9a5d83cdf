"""kornia: the library's augmentations as it applies them, for our images, masks and seeds."""

import pytest
import torch
from kornia import augmentation as library

from dlplug import config
from dlplug.errors import DlplugError, InvalidValueError
from dlplug.run import verbs
from dlplug.transforms.kornia import Kornia
from dlplug.transforms.kornia_augmentations import augmentations

# What has no default, or one that changes nothing.
NEEDED = {
    "RandomSaturation": {"saturation": [0.2, 0.5]},
    "RandomHue": {"hue": [-0.4, -0.1]},
    "RandomGamma": {"gamma": [0.5, 0.9]},
    "RandomContrast": {"contrast": [0.5, 0.9]},
    "RandomBrightness": {"brightness": [0.5, 0.9]},
    "ColorJiggle": {"brightness": 0.5},
    "ColorJitter": {"contrast": 0.5},
    "RandomAffine": {"degrees": 10},
    "RandomCrop": {"size": [16, 16], "padding": 2},
    "RandomElasticTransform": {"kernel_size": [15, 15], "sigma": [4.0, 4.0], "alpha": [3.0, 3.0]},
    "RandomFisheye": {"center_x": [-0.3, 0.3], "center_y": [-0.3, 0.3], "gamma": [0.9, 1.0]},
    "RandomGaussianBlur": {"kernel_size": [3, 3], "sigma": [0.5, 2.0]},
    "RandomMotionBlur": {"kernel_size": 3, "angle": 10.0, "direction": 0.5},
    "RandomRain": {"drop_height": [2, 4], "drop_width": [1, 2]},
    "RandomResizedCrop": {"size": [16, 16]},
    "RandomRotation": {"degrees": 30},
    "RandomRotation90": {"times": [1, 3]},
    "RandomShear": {"shear": 20.0},
    "RandomTranslate": {"translate_x": [0.1, 0.2]},
}
MOVE_NO_MASKS = ("RandomFisheye", "RandomThinPlateSpline")
LABELS = torch.zeros(6, dtype=torch.int64)


def photographs(channels=3):
    """Standardised, each with a range of its own."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([0.2, 0.5, 1, 2, 3, 5]).view(6, 1, 1, 1)
    return torch.randn(6, channels, 16, 16, generator=generator) * scale


def tuples(arguments):
    return {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}


@pytest.mark.parametrize("name", sorted(augmentations(library)))
def test_every_augmentation_works(name):
    """The same seed gives the same images, another one others; labels stay."""
    transform = Kornia(name, NEEDED.get(name, {}) | {"p": 1.0})
    images = photographs()
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        changed, labels = transform(images.clone(), LABELS)
        assert changed.shape == images.shape and changed.isfinite().all() and labels is LABELS
        results.append(changed)
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], images, atol=1e-4)


@pytest.mark.parametrize("name", ["RandomAffine", "RandomRotation", "RandomElasticTransform"])
def test_what_moves_pixels_is_kornias_own(name):
    """Bit by bit the library's result, around the fill value."""
    arguments = NEEDED.get(name, {}) | {"p": 0.5}
    images = photographs()
    torch.manual_seed(0)
    moved, _ = Kornia(name, arguments, fill=-1.0)(images, LABELS)
    torch.manual_seed(0)
    expected = getattr(library, name)(**tuples(arguments))(images + 1) - 1
    assert torch.equal(moved, expected)


def test_light_and_colour_see_the_images_from_0_to_1():
    """By the images' own range, or by the one that is given."""
    images = photographs()
    arguments = {"gamma": [0.5, 1.5], "p": 1.0}
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    span = images.amax(dim=(1, 2, 3), keepdim=True) - low
    for value_range, (start, width) in ((None, (low, span)), ((-20.0, 20.0), (-20.0, 40.0))):
        torch.manual_seed(0)
        changed, _ = Kornia("RandomGamma", arguments, value_range=value_range)(images, LABELS)
        torch.manual_seed(0)
        direct = library.RandomGamma(gamma=(0.5, 1.5), p=1.0)((images - start) / width)
        torch.testing.assert_close(changed, direct * width + start)


def test_each_record_draws_for_itself():
    """Of equal images, some are mirrored."""
    images = photographs()[:1].expand(200, -1, -1, -1)
    torch.manual_seed(0)
    changed, _ = Kornia("RandomHorizontalFlip")(images, torch.zeros(200))
    is_mirrored = (changed == images.flip(-1)).flatten(1).all(dim=1)
    assert 60 < int(is_mirrored.sum()) < 140
    assert (changed == images).flatten(1).all(dim=1).equal(~is_mirrored)


@pytest.mark.parametrize(
    "name", ["RandomAffine", "RandomRotation", "RandomPerspective", "RandomElasticTransform"]
)
def test_a_mask_moves_with_its_image(name):
    """An image that shows its own mask, by the nearest pixel too, still does; outside is -100."""
    masks = torch.randint(1, 6, (20, 32, 32), generator=torch.Generator().manual_seed(0))
    arguments = NEEDED.get(name, {}) | {"p": 0.8, "resample": "nearest"}
    torch.manual_seed(0)
    images, moved = Kornia(name, arguments, fill=-100.0)(masks[:, None].float(), masks)
    assert moved.dtype == torch.int64 and torch.equal(images[:, 0].round().long(), moved)
    is_moved = (moved != masks).flatten(1).any(dim=1)
    assert 10 <= int(is_moved.sum()) < 20
    if name != "RandomElasticTransform":
        assert (moved == -100).any()


def test_ignored_pixels_stay_ignored_and_colours_leave_masks_alone():
    """-100 is a class like another to a flip; brightness changes no mask."""
    masks = torch.randint(-1, 3, (6, 16, 16))
    masks[masks == -1] = -100
    images = photographs()
    _, mirrored = Kornia("RandomHorizontalFlip", {"p": 1.0})(images, masks)
    assert torch.equal(mirrored, masks.flip(-1))
    _, same = Kornia("RandomBrightness", {"brightness": [0.5, 0.9], "p": 1.0})(images, masks)
    assert torch.equal(same, masks)


@pytest.mark.parametrize("name", MOVE_NO_MASKS)
def test_what_cannot_move_masks_says_so(name):
    """Instead of training on masks of other images."""
    masks = torch.zeros(6, 16, 16, dtype=torch.int64)
    with pytest.raises(InvalidValueError, match=f"{name} cannot move masks along"):
        Kornia(name, NEEDED.get(name, {}) | {"p": 1.0})(photographs(), masks)


def test_a_range_that_does_not_rise_is_refused():
    """The message holds it."""
    with pytest.raises(InvalidValueError, match=r"value_range = \[1.0, 0.0\] does not rise"):
        Kornia("RandomGamma", value_range=(1.0, 0.0))


def test_images_that_do_not_fit_are_refused():
    """Grey ones for a hue, rows for anything."""
    with pytest.raises(InvalidValueError, match=r"RandomHue cannot take images \(6, 1, 16, 16\)"):
        Kornia("RandomHue", {"p": 1.0})(photographs(1), LABELS)
    for inputs in (torch.rand(6, 4), {"x": photographs()}, photographs().long()):
        with pytest.raises(InvalidValueError, match=r"RandomGamma needs images \(B, C, H, W\)"):
            Kornia("RandomGamma")(inputs, LABELS)


TRAINING = """
architecture: {name: resnet, widths: [4, 8], depths: [1, 1]}
data:
  name: digits
  batch_size: 32
  transforms:
    - {name: kornia, augmentation: RandomAffine, arguments: {degrees: 10, scale: [0.9, 1.1]}}
    - {name: kornia, augmentation: RandomGaussianNoise, arguments: {std: 0.1}}
trainer: {limit_train_batches: 4, limit_val_batches: 1, accelerator: cpu}
"""


def weights(path, root, epochs, **arguments):
    experiment = config.load([path], [("trainer.max_epochs", str(epochs))])
    run = verbs.fit(experiment, root=root, name="x", progress=False, **arguments).run
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_a_resumed_training_draws_the_same_numbers(tmp_path):
    """One epoch and one more equal two, bit by bit."""
    path = tmp_path / "config.yaml"
    path.write_text(TRAINING)
    whole = weights(path, tmp_path / "whole", 2)
    weights(path, tmp_path / "parts", 1)
    resumed = weights(path, tmp_path / "parts", 2, resume="x")
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


def test_a_wrong_argument_in_a_config_is_named_with_its_place(tmp_path):
    """The file and the line, before anything is built."""
    path = tmp_path / "config.yaml"
    path.write_text(TRAINING.replace("std: 0.1", "sdt: 0.1"))
    with pytest.raises(DlplugError, match="no argument 'sdt'") as error:
        weights(path, tmp_path, 1)
    assert "config.yaml, line 8" in str(error.value) and "did you mean 'std'?" in str(error.value)
