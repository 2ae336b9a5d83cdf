"""Questions to a run's metrics."""

from dlplug.run.metrics import best_epoch, curve, metrics_of_epoch

ROWS = [
    {"step": 5, "epoch": 0, "time": 0.0, "val_loss": 2.0, "val_accuracy": 0.4},
    {"step": 5, "epoch": 0, "time": 0.0, "train_loss": 2.5},
    {"step": 7, "epoch": 1, "time": 0.0, "train_loss_step": 9.0},
    {"step": 10, "epoch": 1, "time": 0.0, "val_loss": 1.0, "val_accuracy": 0.5},
    {"step": 10, "epoch": 1, "time": 0.0, "train_loss": 1.5},
    {"step": 15, "epoch": 2, "time": 0.0, "val_loss": float("nan"), "val_accuracy": 0.6},
    {"step": 15, "epoch": None, "time": 0.0, "test_loss": 1.1},
]


def test_a_curve_has_one_value_for_each_epoch():
    """Epochs count from 1; the last value of an epoch counts."""
    assert curve(ROWS, "train_loss") == ([1, 2], [2.5, 1.5])
    again = [*ROWS, {"step": 11, "epoch": 1, "time": 0.0, "train_loss": 1.25}]
    assert curve(again, "train_loss") == ([1, 2], [2.5, 1.25])
    assert curve(ROWS, "other") == ([], [])


def test_the_best_epoch_is_by_the_metric_and_never_nan():
    """Smallest loss, largest accuracy, first of equals."""
    assert best_epoch(ROWS, "val_loss", "min") == 2
    assert best_epoch(ROWS, "val_accuracy", "max") == 3
    equal = [ROWS[0], ROWS[3] | {"val_loss": 2.0}]
    assert best_epoch(equal, "val_loss", "min") == 1
    assert best_epoch(ROWS, "other", "min") is None


def test_the_metrics_of_an_epoch_leave_out_steps_and_tests():
    """Only what belongs to the whole epoch."""
    assert metrics_of_epoch(ROWS, 2) == {"val_loss": 1.0, "val_accuracy": 0.5, "train_loss": 1.5}
    assert metrics_of_epoch(ROWS, None)["val_accuracy"] == 0.6
