"""The learning curves: a real picture that shows what the metrics say."""

import numpy as np
import pytest
from matplotlib.image import imread

from dlplug.run.picture import BEST_COLOR, VALIDATION_COLOR, draw_learning_curves, panel_names


def rows(epochs, metrics=("loss", "accuracy"), stages=("train", "val")):
    return [
        {"step": epoch + 1, "epoch": epoch, "time": 0.0}
        | {f"{stage}_{name}": 1 / (epoch + 1) for name in metrics}
        for epoch in range(epochs)
        for stage in stages
    ]


def pixels_of(path, color):
    """Number of pixels of a colour."""
    picture = np.round(imread(path)[..., :3] * 255).astype(int)
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((picture == wanted).all(axis=-1).sum())


def test_it_is_a_picture_with_both_curves_and_the_best_epoch(tmp_path):
    """A readable PNG of two panels, with pixels of the curves' and of the mark's colour."""
    path = draw_learning_curves(rows(10), tmp_path / "a.png", title="x 1")
    picture = imread(path)
    height, width = picture.shape[:2]
    assert width > 1000 and 300 < height < width
    assert pixels_of(path, VALIDATION_COLOR) > 200
    assert pixels_of(path, BEST_COLOR) > 20


def test_more_metrics_make_it_wider(tmp_path):
    """One panel for each, up to three."""
    widths = [
        imread(draw_learning_curves(rows(3, names), tmp_path / "a.png", title="")).shape[1]
        for names in (("loss",), ("loss", "f1"), ("loss", "f1", "b"), ("loss", "f1", "b", "c"))
    ]
    assert widths[0] < widths[1] < widths[2] == widths[3]


def test_one_epoch_is_visible(tmp_path):
    """A line through one point would show nothing."""
    path = draw_learning_curves(rows(1), tmp_path / "a.png", title="")
    assert pixels_of(path, VALIDATION_COLOR) > 20


def test_without_validation_the_training_curve_is_drawn(tmp_path):
    """And no epoch is called the best."""
    path = draw_learning_curves(rows(5, stages=("train",)), tmp_path / "a.png", title="")
    assert pixels_of(path, BEST_COLOR) == 0


def test_values_that_are_not_finite_are_gaps(tmp_path):
    """A NaN in the middle stops neither the curve nor the picture."""
    course = rows(6)
    for key in ("val_loss", "train_loss"):
        next(row for row in course if row["epoch"] == 3 and key in row)[key] = float("nan")
    course[-1]["val_accuracy"] = float("inf")
    assert draw_learning_curves(course, tmp_path / "a.png", title="").exists()


def test_nothing_to_draw_is_no_picture(tmp_path):
    """A run that ended before its first epoch."""
    only_steps = [{"step": 1, "epoch": 0, "time": 0.0, "train_loss_step": 1.0}]
    assert draw_learning_curves(only_steps, tmp_path / "a.png", title="") is None
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("metrics", "expected"), [(("accuracy", "loss", "f1"), ["loss", "accuracy", "f1"]), ((), [])]
)
def test_the_loss_comes_first(metrics, expected):
    """Then the metrics by name."""
    assert panel_names(rows(2, metrics)) == expected
