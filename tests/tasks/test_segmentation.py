"""Segmentation: what a batch must look like, what is counted, and that it learns."""

import pytest
import torch
from torch import nn

from dlplug.architectures.unet import UNet
from dlplug.data.spec import DataSpec
from dlplug.data.vision.digit_scenes import DigitScenes
from dlplug.errors import ConfigError, DataError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.metrics.mean_iou import MeanIoU
from dlplug.optim import FusedAdamW
from dlplug.tasks.segmentation import Segmentation

SPEC = DataSpec(in_channels=1, num_classes=3, class_names=("sky", "sea", "sand"))


def task(architecture=None, **arguments):
    torch.manual_seed(0)
    chosen = {"loss": CrossEntropyLoss(), "data_spec": SPEC} | arguments
    return Segmentation(architecture or nn.Conv2d(1, 3, 1), **chosen)


BATCH = (torch.randn(2, 1, 4, 5), torch.tensor([0, 1, 2, -100]).repeat(10).view(2, 4, 5))


def test_the_task_decides_the_width():
    """One output for each class of the data."""
    assert Segmentation.complete(SPEC).num_outputs == 3


def test_the_loss_is_a_mean_over_pixels_with_a_class():
    """Batches count with their known pixels: the mean equals that of all pixels at once."""
    images, masks = torch.randn(3, 1, 4, 5), torch.randint(0, 3, (3, 4, 5))
    masks[0, 1:] = -100
    module = task()
    for part in (slice(0, 1), slice(1, 3)):
        output, target = module.output_and_target((images[part], masks[part]))
        module.mean_losses["val_"].update(module.loss_of(output, target), module.count(target))
    whole = module.loss(module(images), masks)
    torch.testing.assert_close(module.mean_losses["val_"].compute(), whole.detach())
    assert module.count(masks) == 45


def test_counting_waits_for_no_device():
    """On the meta device there is no number to read: a GPU would be waited for in each step."""
    assert task().count(BATCH[1].to("meta")).shape == ()


def test_metrics_get_the_best_class():
    """Classes, not scores: a metric keeps no scores of every pixel."""
    scores = torch.randn(2, 3, 4, 5)
    found, target = task().measured(scores, BATCH[1])
    assert torch.equal(found, scores.argmax(1)) and target is BATCH[1]


def test_predictions_are_masks_and_the_table_holds_shares():
    """uint8 masks; each row of the table adds up to 1, columns have the classes' names."""
    module = task()
    masks = module.predict_step(BATCH, 0)
    assert masks.shape == (2, 4, 5) and masks.dtype == torch.uint8
    columns, rows = module.prediction_table(torch.tensor([[[0, 0], [2, 1]], [[1, 1], [1, 1]]]))
    assert columns == ["share_sky", "share_sea", "share_sand"]
    assert list(rows) == [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]
    # Images of different sizes come as a list.
    assert list(module.prediction_table([torch.zeros(1, 2), torch.ones(3, 1)])[1])[1] == [0, 1, 0]


def test_the_table_of_every_batch_has_all_classes():
    """Of data that does not know its classes, as many as there are scores."""
    module = task(data_spec=DataSpec())
    module.predict_step(BATCH, 0)
    columns, rows = module.prediction_table(torch.zeros(1, 2, 2, dtype=torch.uint8))
    assert columns == ["share_0", "share_1", "share_2"] and list(rows) == [[1, 0, 0]]


def test_a_batch_that_fits_passes():
    """Ignored pixels are no complaint."""
    task().check_batch(BATCH)


@pytest.mark.parametrize(
    ("model", "batch", "error", "message"),
    [
        (nn.Flatten(), BATCH, ConfigError, r"gives \(2, 20\) float32 for images \(2, 1, 4, 5\)"),
        (nn.Conv2d(1, 4, 1), BATCH, ConfigError, "4 scores for a pixel, the data has 3 classes"),
        (nn.Conv2d(1, 3, 3), BATCH, ConfigError, r"scores \(2, 3, 2, 3\) float32 for masks"),
        (None, (BATCH[0], BATCH[1].float()), DataError, r"masks \(B, H, W\) of whole numbers"),
        (None, (BATCH[0], BATCH[1] + 1), DataError, "the class 3, which is out of range"),
    ],
)
def test_batches_and_outputs_of_another_form_are_described(model, batch, error, message):
    """Both sides are named."""
    with pytest.raises(error, match=message):
        task(model).check_batch(batch)


def iou(found, true, num_classes=2):
    metric = MeanIoU(num_classes)
    metric.update(found, true)
    return float(metric.compute())


def test_a_unet_beats_the_best_threshold_and_the_majority():
    """Ink on photographs that the training has not seen; baselines on the very same scenes.

    The threshold is on the distance from the scene's median brightness, the best of 40 on the test
    scenes themselves.
    """
    data = DigitScenes(num_scenes=700, by_digit=False, batch_size=16)
    data.setup("fit")
    model = UNet(2, 1, widths=(8, 16, 32))
    module = task(model, data_spec=data.data_spec, optimizer=FusedAdamW)
    torch.manual_seed(0)
    optimizer = FusedAdamW(module.parameters(), lr=1e-2)
    for epoch in range(5):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            module.loss_of(*module.output_and_target(batch)).backward()
            optimizer.step()
    data.setup("test")
    images, masks = data.split("test").__getitems__(range(140))
    module.eval()
    with torch.no_grad():
        found = iou(module.measured(module(images), masks)[0], masks)
    distance = (images[:, 0] - images.flatten(1).median(1).values[:, None, None]).abs()
    threshold = max(iou((distance > t).long(), masks) for t in torch.linspace(0.1, 4, 40))
    majority = iou(torch.zeros_like(masks), masks)
    assert majority < 0.5 and found > threshold + 0.04, (found, threshold, majority)
