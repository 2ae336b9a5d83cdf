"""Images and masks in two folders."""

import numpy as np
import pytest
import torch
from PIL import Image

from dlplug.data.vision.segmentation_pairs import SegmentationPairs
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES, positions
from tests.data.vision.pictures import write_pairs


@pytest.fixture
def root(tmp_path):
    return write_pairs(tmp_path)


def pairs(root, **arguments):
    chosen = {"image_size": (40, 60), "batch_size": 4} | arguments
    data = SegmentationPairs(str(root / "images"), str(root / "masks"), **chosen)
    data.setup("fit")
    return data


def test_images_and_masks_belong_together(root):
    """The dark pixels of the image are the mask's class 1; values become classes in order."""
    data = pairs(root)
    spec = data.data_spec
    assert (spec.num_classes, spec.class_names) == (2, ("0", "255"))
    assert (spec.in_channels, spec.image_size) == (3, (40, 60))
    assert data.split_sizes == {"train": 9, "validation": 1, "test": 2}
    images, masks = data.split("train").__getitems__(range(9))
    assert images.shape == (9, 3, 40, 60) and masks.shape == (9, 40, 60)
    mean, std = (torch.tensor(spec.preparation[k]).view(3, 1, 1) for k in ("mean", "std"))
    grey = ((images * std + mean) * 255).mean(dim=1)
    # A JPEG's pixels differ from those that the mask was made of.
    assert bool((masks[grey < 70] == 1).all()) and bool((masks[grey > 110] == 0).all())
    assert masks.dtype == torch.int64 and abs(float(images.mean())) < 1e-3


def test_a_mask_of_another_size_is_fitted_without_new_values(root):
    """Half the size: still two classes, and batches from workers."""
    data = pairs(root, image_size=(20, 30), num_workers=1)
    images, masks = next(iter(data.train_dataloader()))
    assert images.shape == (4, 3, 20, 30) and masks.unique().tolist() == [0, 1]


def test_named_classes_and_ignored_pixels(root):
    """The order of the names is that of the classes; the ignored value is -100."""
    for path in (root / "masks").iterdir():
        mask = np.asarray(Image.open(path)).copy()
        mask[:2] = 7
        Image.fromarray(mask).save(path)
    data = pairs(root, classes={"dark": 255, "light": 0}, ignore=7)
    assert data.data_spec.class_names == ("dark", "light")
    masks = data.split("train").__getitems__([0])[1]
    raw = np.asarray(Image.open(data.split("train").pairs[0][1]))
    assert torch.equal(masks[0] == 0, torch.from_numpy(raw == 255))
    assert bool((masks[0, :2] == -100).all())
    assert pairs(root, ignore=7).data_spec.class_names == ("0", "255")
    with pytest.raises(DataError, match="holds the value 7, which is no class") as error:
        pairs(root, classes={"dark": 255, "light": 0}).split("train").__getitems__([0])
    assert "data.ignore" in str(error.value)


def test_a_saved_spec_serves_new_inputs(root):
    """Mean, deviation and values come from the run."""
    spec = pairs(root, image_size=(20, 30)).data_spec
    data = SegmentationPairs("gone", "gone", image_size=(20, 30))
    data.adopt(type(spec).from_dict(spec.to_dict()))
    assert data.read_input(root / "images").__getitems__([0, 1]).shape == (2, 3, 20, 30)
    assert len(data.read_input(root / "images/00.jpg")) == 1
    with pytest.raises(DataError, match="there are no images"):
        data.read_input(root / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": {"a": 255, "b": 0}}, "classes = {'a': 255, 'b': 0} by its .* with {'a': 0,"),
        ({"ignore": 7}, "ignore = 7 by its arguments, and the model was trained with None"),
        ({"fit": "stretch"}, "fit = 'stretch' by its arguments, .* with 'crop'"),
        ({"greyscale": True}, "in_channels = 1 by its arguments, .* with 3"),
    ],
)
def test_arguments_that_say_something_else_are_refused(root, arguments, message):
    """Than those of the training, whose values would be taken or whose pixels be others."""
    chosen = {"classes": {"a": 0, "b": 255}, "image_size": (40, 60)}
    spec = pairs(root, **chosen).data_spec
    data = SegmentationPairs("other", "other", **(chosen | arguments))
    with pytest.raises(InvalidValueError, match=message):
        data.adopt(type(spec).from_dict(spec.to_dict()))
    named = SegmentationPairs("other", "other", image_size=(40, 60))
    named.adopt(spec)
    assert named.data_spec.class_names == ("a", "b")


def test_classes_that_were_found_are_compared_too(root):
    """Their values, where the names are the same."""
    spec = pairs(root, image_size=(40, 60)).data_spec
    spec = type(spec).from_dict(spec.to_dict())

    def adopt(**classes):
        SegmentationPairs("other", "other", classes=classes, image_size=(40, 60)).adopt(spec)

    adopt(**{"0": 0, "255": 255})
    with pytest.raises(InvalidValueError, match="'0': 255, '255': 0} by its arguments"):
        adopt(**{"0": 255, "255": 0})


def broken_mask(root):
    Image.new("L", (60, 41)).save(root / "masks/03.png")


def colour_mask(root):
    Image.new("RGB", (60, 40)).save(root / "masks/03.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "masks/03.png").unlink(), r"03\.jpg has no partner in"),
        (lambda root: (root / "images/03.jpg").unlink(), r"03\.png has no partner in"),
        (lambda root: Image.new("L", (1, 1)).save(root / "masks/03.bmp"), "have the same name"),
        (broken_mask, r"03\.jpg has 40 x 60 pixels, its mask .*03\.png 41 x 60"),
        (colour_mask, r"03\.png has the mode RGB, a mask needs one channel"),
        (lambda root: (root / "masks/03.png").write_bytes(b"x"), r"03\.png cannot be read"),
    ],
)
def test_pairs_that_do_not_fit_are_named(root, change, message):
    """Image and mask, with both sizes."""
    change(root)
    with pytest.raises(DataError, match=message):
        data = pairs(root, classes={"a": 0, "b": 255}, test_fraction=0.0, validation_fraction=0.0)
        data.split("train").__getitems__(range(12))


@pytest.mark.parametrize(
    "arguments",
    [
        {"classes": {"a": 0}},
        {"classes": {"a": 0, "b": 0}},
        {"classes": {"a": 0, "b": 1}, "ignore": 1},
    ],
)
def test_classes_without_values_of_their_own_are_refused(arguments):
    """Before anything is read."""
    with pytest.raises(InvalidValueError, match="each with a value of its own"):
        SegmentationPairs("a", "b", **arguments)


@pytest.mark.parametrize("way", VALUES)
def test_a_pattern_divides_the_pairs(tmp_path, way):
    """What its group matches in the image's path below the folder."""
    for i, value in enumerate(VALUES[way]):
        for folder in ("images", "masks"):
            path = tmp_path / folder / f"{i}_{value}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("L", (8, 8), i % 2).save(path)
    folders = (str(tmp_path / "images"), str(tmp_path / "masks"))
    arguments = {"image_size": 8, "classes": {"a": 0, "b": 1}, "split": way}
    data = SegmentationPairs(*folders, split_by="_(.*)[.]", **arguments)
    found = positions(data, lambda part: sorted(int(i.stem.split("_")[0]) for i, _ in part.pairs))
    assert found == EXPECTED[way]
    with pytest.raises(
        DataError,
        match=rf"images/0_{VALUES[way][0]}\.png, data.split_by .*: the .* is missing",
    ):
        SegmentationPairs(*folders, split_by="[1-9]_(.*)[.]", **arguments).load()
    with pytest.raises(InvalidValueError, match="has 2 groups"):
        SegmentationPairs(*folders, split_by="(a)(b)", **arguments)
