"""Folders of images: what is read, how it is divided, and what is refused."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dlplug.architectures.resnet import ResNet
from dlplug.data.vision.faces import Faces
from dlplug.data.vision.image_folder import ImageFolder
from dlplug.errors import DataError, InvalidValueError
from dlplug.losses.cross_entropy import cross_entropy
from dlplug.optim import FusedAdamW
from tests.data.divided import EXPECTED, VALUES, positions
from tests.data.vision.pictures import write_faces


@pytest.fixture
def faces(tmp_path):
    return write_faces(tmp_path / "faces", 40)


def folder(path, **arguments):
    chosen = {"image_size": 25, "greyscale": True, "batch_size": 8} | arguments
    data = ImageFolder(str(path), **chosen)
    data.setup("fit")
    return data


def test_images_classes_and_statistics_come_from_the_folders(faces):
    """The pixels of the files, standardised by mean and deviation of the training images."""
    data = folder(faces)
    assert data.data_spec.class_names == ("face", "other") and data.data_spec.in_channels == 1
    assert data.split_sizes == {"train": 28, "validation": 4, "test": 8}
    train = data.split("train")
    images, labels = train.__getitems__(range(28))
    assert images.shape == (28, 1, 25, 25) and images.dtype == torch.float32
    assert labels.tolist() == [0] * 14 + [1] * 14
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(p)) for p in train.paths])) / 255
    assert data.data_spec.preparation["mean"][0] == pytest.approx(float(pixels.mean()))
    expected = (pixels - pixels.mean()) / pixels.std(unbiased=False)
    torch.testing.assert_close(images[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_batches_come_from_workers_too(faces):
    """Two processes give what one gives."""
    alone, apart = folder(faces), folder(faces, num_workers=2)
    for one, two in zip(alone.train_dataloader(), apart.train_dataloader(), strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_splits_may_have_folders_of_their_own(faces, tmp_path):
    """val is taken as it is; the missing test split comes from the training images."""
    root = tmp_path / "split"
    shutil.copytree(faces, root / "train")
    for name, first in (("face", 0), ("other", 100)):
        (root / "val" / name).mkdir(parents=True)
        moved = f"{name}/{first:03}.png"
        shutil.move(root / "train" / moved, root / "val" / moved)
    data = folder(root, validation_fraction=0.9, test_fraction=0.2)
    assert data.split_sizes == {"train": 30, "validation": 2, "test": 8}
    assert [path.name for path in data.split("validation").paths] == ["000.png", "100.png"]


def test_the_cache_is_bounded_and_changes_nothing(faces, monkeypatch):
    """Room for ten images: ten files are read once, the other 18 in each epoch."""
    data = folder(faces, cache_mb=10 * 625 / 2**20)
    train, reads = data.split("train"), []
    read = train.read
    train.read = lambda path: reads.append(path) or read(path)
    first = train.__getitems__(range(28))[0]
    assert torch.equal(train.__getitems__(range(28))[0], first)
    assert len(reads) == 28 + 18
    assert len(pickle.dumps(folder(faces).split("train"))) < 20_000


def test_a_saved_spec_serves_new_inputs_and_the_test(faces):
    """With what the run saved: one file, a folder, and no training data for them."""
    spec = folder(faces).data_spec
    data = ImageFolder("gone", image_size=25, greyscale=True)
    with pytest.raises(DataError, match="mean and deviation are not known yet"):
        data.read_input(faces / "face")
    data.adopt(type(spec).from_dict(spec.to_dict()))
    inputs = data.read_input(faces / "other")
    assert len(inputs) == 20
    one = data.read_input(faces / "other" / "101.png").__getitems__([0])
    assert torch.equal(inputs.__getitems__([1]), one)
    again = ImageFolder(str(faces), image_size=25, greyscale=True)
    again.adopt(spec)
    again.setup("test")
    assert again.data_spec.preparation == spec.preparation


def test_another_fit_than_in_the_training_is_refused(faces):
    """The network has learned from other pixels."""
    spec = folder(faces).data_spec
    data = ImageFolder("other", image_size=25, greyscale=True, fit="stretch")
    with pytest.raises(InvalidValueError, match=r"fit = 'stretch' by its arguments, .* 'crop'"):
        data.adopt(type(spec).from_dict(spec.to_dict()))


def test_other_classes_than_in_the_training_are_refused(faces):
    """Both lists are named."""
    spec = folder(faces).data_spec
    (faces / "other").rename(faces / "strange")
    data = ImageFolder(str(faces), image_size=25, greyscale=True)
    data.adopt(spec)
    with pytest.raises(DataError, match=r"has the classes face, strange, .* had face, other"):
        data.setup("test")


def test_a_broken_image_is_named(faces):
    """At the statistics or, here, when its batch is read."""
    data = folder(faces)
    path = data.split("train").paths[3]
    path.write_bytes(b"broken")
    with pytest.raises(DataError, match=rf"{path.name} cannot be read as an image"):
        data.split("train").__getitems__([2, 3])


def test_a_link_to_nothing_is_a_broken_image(faces, capsys):
    """As of a disk that is missing; the record is there, in the fingerprint too."""
    (faces / "face" / "zz.png").symlink_to(faces / "gone.png")
    with pytest.raises(DataError, match=r"zz\.png cannot be read as an image"):
        folder(faces, validation_fraction=0.0, test_fraction=0.0)
    data = folder(faces, quarantine=0.1, validation_fraction=0.0, test_fraction=0.0)
    assert len(data.quarantine) == 1 and data.split_sizes["train"] == 41
    assert "zz.png cannot be read" in capsys.readouterr().err
    assert data.fingerprint()["records"]["train"] == 41


def test_the_fingerprint_sees_names_and_sizes(faces):
    """It changes with the files and not with the order of reading."""
    before = folder(faces).fingerprint()
    assert before == folder(faces).fingerprint()
    shutil.copy(faces / "face/001.png", faces / "face/000.png")
    assert folder(faces).fingerprint()["sha256"] != before["sha256"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root / "face"), "has 1 folder, one for each class is needed"),
        (lambda root: (root / "empty").mkdir(), "empty holds no images"),
        (lambda root: shutil.copy(root / "face/000.png", root), r"000\.png stands in no class's"),
        (lambda root: shutil.rmtree(root), "does not exist"),
    ],
)
def test_folders_of_another_form_are_refused(faces, change, message):
    """Named with their path."""
    change(faces)
    with pytest.raises(DataError, match=message):
        folder(faces)


def test_a_class_that_only_a_later_split_has_is_refused(faces, tmp_path):
    """The nearest name is offered."""
    shutil.copytree(faces, tmp_path / "s/train")
    shutil.copytree(faces, tmp_path / "s/test")
    (tmp_path / "s/test/face").rename(tmp_path / "s/test/faces")
    with pytest.raises(DataError, match="folder of no class") as error:
        folder(tmp_path / "s")
    assert "did you mean 'face'" in str(error.value)


@pytest.mark.parametrize("arguments", [{"cache_mb": -1.0}, {"fit": "krop"}, {"image_size": 0}])
def test_values_out_of_range_are_refused(arguments, tmp_path):
    """Before anything is read."""
    with pytest.raises(InvalidValueError, match="data image_folder: "):
        ImageFolder(str(tmp_path), **arguments)


def test_a_network_learns_from_a_folder(tmp_path):
    """Real faces in files: better than the majority (0.5) on images left out."""
    data = folder(write_faces(tmp_path), batch_size=20, cache_mb=1.0)
    torch.manual_seed(0)
    model = ResNet(2, 1, widths=(8, 16, 32), depths=(1, 1, 1))
    optimizer = FusedAdamW(model.parameters(), lr=5e-3)
    for epoch in range(6):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for images, labels in loader:
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimizer.step()
    data.setup("test")
    images, labels = data.split("test").__getitems__(range(40))
    with torch.no_grad():
        accuracy = float((model.eval()(images).argmax(1) == labels).float().mean())
    assert accuracy >= 0.75 and Faces().read()[0].shape == (200, 1, 25, 25)


def write_divided(root, values):
    """Ten images of two classes, whose names hold ``values``."""
    for i, value in enumerate(values):
        path = root / "ab"[i % 2] / f"p_{value}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i).save(path)
    return root


def numbers(images):
    return sorted(int(path.stem) for path in images.paths)


@pytest.mark.parametrize("way", VALUES)
def test_a_pattern_divides_the_images(tmp_path, way):
    """What its group matches in the path below the folder."""
    root = write_divided(tmp_path / "p_none", VALUES[way])
    data = ImageFolder(str(root), image_size=8, split=way, split_by="p_([^/]+)")
    assert positions(data, numbers) == EXPECTED[way]


def test_the_pattern_divides_what_has_no_folder(tmp_path):
    """val stays as it is; a patient in both is named."""
    write_divided(tmp_path / "train", VALUES["group"])
    write_divided(tmp_path / "val", ["x", "y"])
    arguments = {"image_size": 8, "split": "group", "split_by": "p_([^/]+)"}
    assert positions(ImageFolder(str(tmp_path), **arguments), numbers) == {
        "train": [0, 2, 3, 4, 6, 7, 8, 9],
        "validation": [0, 1],
        "test": [1, 5],
    }
    shutil.copytree(tmp_path / "train/a/p_r", tmp_path / "val/a/p_r")
    with pytest.raises(DataError, match=r"train/a/p_r/2\.png, .* group 'r' is among the validati"):
        ImageFolder(str(tmp_path), **arguments).load()
    shutil.copytree(tmp_path / "val", tmp_path / "test")
    with pytest.raises(InvalidValueError, match="but validation and test records are given apart"):
        ImageFolder(str(tmp_path), **arguments).load()


def test_an_image_without_a_group_is_named(tmp_path):
    """And a pattern without a group is refused before anything is read."""
    root = write_divided(tmp_path, VALUES["group"])
    with pytest.raises(
        DataError, match=r"a/p_a/0\.png, data.split_by 'p_\(\[.*': the group is miss"
    ):
        ImageFolder(str(root), split="group", split_by="p_([b-z])").load()
    with pytest.raises(InvalidValueError, match="split_by = 'p_' has 0 groups"):
        ImageFolder(str(root), split="group", split_by="p_")
