"""From files to a trained network and its predictions, through the verbs."""

import csv

import numpy as np
import pytest

from dlplug import config
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests.data.vision.pictures import write_faces, write_pairs

FACES = """
seed_everything: 0
architecture: {name: resnet, widths: [8, 16], depths: [1, 1]}
optimizer: {name: adamw, lr: 5.0e-3}
data: {name: image_folder, path: FOLDER, image_size: 24, greyscale: true, batch_size: 20,
  sampling: balanced, transforms: [random_flip, rand_augment, mixup, cutout]}
trainer: {max_epochs: 6, accelerator: cpu}
"""
PAIRS = """
seed_everything: 0
task: segmentation
architecture: {name: unet, widths: [8, 16]}
loss: dice
optimizer: {name: adamw, lr: 2.0e-2}
data: {name: segmentation_pairs, images: FOLDER/images, masks: FOLDER/masks, batch_size: 4,
  image_size: [32, 40], classes: {light: 0, dark: 255}, transforms: [random_crop, cutmix]}
trainer: {max_epochs: 6, accelerator: cpu}
"""


def trained(text, folder, tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(text.replace("FOLDER", str(folder)))
    result = verbs.fit(config.load([path]), root=tmp_path / "runs", progress=False)
    return result, Run(result.run)


def predicted(run, source):
    experiment = config.load([run.resolved])
    result = verbs.predict(experiment, run=run, input=source, progress=False)
    with result.predictions.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_of_classes(tmp_path):
    """Trained with balanced batches and mixtures; new files need no training data."""
    folder = write_faces(tmp_path / "faces")
    result, run = trained(FACES, folder, tmp_path)
    # The majority is right in half of the cases; 20 images are left out for the validation.
    assert result.metrics["val_accuracy"] > 0.7
    rows = predicted(run, folder / "face")
    assert len(rows) == 100 and list(rows[0])[:3] == ["index", "input", "predicted"]
    assert sorted(row["input"] for row in rows) == sorted(map(str, (folder / "face").iterdir()))
    assert sum(row["predicted"] == "face" for row in rows) > 60


def test_images_and_masks(tmp_path):
    """The share of each class in a new image; the dark pixels of a photograph are easy."""
    folder = write_pairs(tmp_path / "pairs", 30)
    result, run = trained(PAIRS, folder, tmp_path)
    assert result.metrics["val_mean_iou"] > 0.6 and "val_pixel_accuracy" in result.metrics
    (row,) = predicted(run, folder / "images/03.jpg")
    assert list(row) == ["index", "input", "share_light", "share_dark"]
    assert row["input"].endswith("images/03.jpg")
    masks = np.load(run.path / "predictions.npz")["masks"]
    assert masks.shape == (1, 32, 40)
    assert (masks == 1).mean() == pytest.approx(float(row["share_dark"]), abs=1e-5)
    assert float(row["share_light"]) + float(row["share_dark"]) == pytest.approx(1, abs=1e-5)
