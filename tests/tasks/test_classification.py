"""Classification: what is logged, what a batch must look like, and that it learns."""

import lightning
import pytest
import torch
from torch import nn

from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.losses.cross_entropy import CrossEntropyLoss, cross_entropy
from dlplug.metrics.accuracy import Accuracy
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification, probabilities


def task(architecture=None, classes=10, **arguments):
    chosen = {
        "loss": CrossEntropyLoss(),
        "optimizer": FusedAdamW,
        "metrics": {"accuracy": Accuracy(classes)},
        "data_spec": DataSpec(num_classes=classes),
    }
    model = architecture or nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    return Classification(model, **(chosen | arguments))


def trainer(**arguments):
    chosen = {"max_epochs": 1, "accelerator": "cpu"} | arguments
    return lightning.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **chosen,
    )


def test_losses_and_metrics_are_means_over_records():
    """val_loss and val_accuracy equal those of all validation records at once.

    179 records in batches of 64: a mean of batch means would weigh the last 51 too much.
    """
    data, module = Digits(batch_size=64), task()
    with quiet():
        values = trainer().validate(module, datamodule=data, verbose=False)[0]
    data.setup("validate")
    inputs, labels = data.split("validation").__getitems__(range(179))
    with torch.no_grad():
        scores = module(inputs)
    # A float32 mean in another order.
    assert values["val_loss"] == pytest.approx(float(cross_entropy(scores, labels)), rel=1e-6)
    assert values["val_accuracy"] == float((scores.argmax(1) == labels).float().mean())


WEIGHTS = [10.0, *[1.0] * 8, 0.5]


def all_at_once(module, weights=None):
    """The loss of all validation records in one batch."""
    data = Digits()
    data.setup("validate")
    inputs, labels = data.split("validation").__getitems__(range(179))
    with torch.no_grad():
        return float(cross_entropy(module(inputs), labels, 0.1, weights))


@pytest.mark.parametrize("batch_size", [1, 32, 179])
def test_a_weighted_loss_does_not_depend_on_the_batches(batch_size):
    """They count by the weights over which their losses are means, not by their records."""
    data, module = Digits(batch_size=batch_size), task(loss=CrossEntropyLoss(0.1, WEIGHTS))
    with quiet():
        values = trainer().validate(module, datamodule=data, verbose=False)[0]
    # Up to 179 float32 terms in another order.
    expected = all_at_once(module, torch.tensor(WEIGHTS))
    assert values["val_loss"] == pytest.approx(expected, rel=1e-5)
    assert abs(expected - all_at_once(module)) > 1e-3


def test_a_loss_need_not_know_of_weights():
    """A function, and a module of anybody's, count by their records."""

    class Own(nn.Module):
        def forward(self, output, target):
            return cross_entropy(output, target, 0.1)

    for loss in (Own(), Own().forward):
        module = task(loss=loss)
        with quiet():
            values = trainer().validate(module, datamodule=Digits(batch_size=32), verbose=False)
        assert values[0]["val_loss"] == pytest.approx(all_at_once(module), rel=1e-5)


def test_every_stage_logs_its_own_names():
    """train_, val_ and test_ never mix."""
    data, module = Digits(batch_size=256), task()
    with quiet():
        fit = trainer()
        fit.fit(module, datamodule=data)
        logged = set(fit.callback_metrics)
        tested = set(fit.test(module, datamodule=data, verbose=False)[0])
    assert logged == {
        "train_loss",
        "train_loss_step",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
    }
    assert tested == {"test_loss", "test_accuracy"}


def test_metrics_are_optional():
    """Without metrics there is still the loss."""
    with quiet():
        values = trainer().validate(task(metrics={}), datamodule=Digits(), verbose=False)[0]
    assert set(values) == {"val_loss"}


def test_predictions_are_probabilities():
    """Rows that add up to 1, from batches with and without labels."""
    module = task()
    inputs = torch.randn(5, 1, 8, 8)
    rows = module.predict_step(inputs, 0)
    assert torch.equal(rows, module.predict_step((inputs, torch.zeros(5)), 0))
    torch.testing.assert_close(rows.sum(1), torch.ones(5))
    torch.testing.assert_close(rows, module(inputs).softmax(1))


def test_class_names_are_used():
    """Names in the column predicted and in the header; numbers when there are none."""
    rows = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    named = task(classes=2, data_spec=DataSpec(num_classes=2, class_names=("cat", "dog")))
    columns, table = named.prediction_table(rows)
    assert columns == ["predicted", "p_cat", "p_dog"]
    assert list(table) == [["dog", 0.25, 0.75], ["cat", 0.5, 0.5]]
    columns, table = task(classes=2, data_spec=DataSpec()).prediction_table(rows)
    assert columns == ["predicted", "p_0", "p_1"] and next(iter(table))[0] == "1"


def test_half_precision_scores_give_float32_probabilities():
    """bfloat16 is raised, float64 is kept."""
    assert probabilities(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32
    assert probabilities(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(("horizon", "fix"), [(None, "regression"), (3, "forecasting")])
def test_data_of_numbers_is_refused(horizon, fix):
    """With the task for it; what says nothing is left to the batch."""
    with pytest.raises(DataError, match="numbers to predict, and no classes") as error:
        Classification.complete(DataSpec(num_targets=2, horizon=horizon))
    assert error.value.fix == f"set task: {fix}"
    assert Classification.complete(DataSpec()).num_outputs is None


BATCH = (torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 9]))


def test_a_batch_that_fits_passes():
    """No complaint, and nothing is logged."""
    task().check_batch(BATCH)


def test_inputs_that_do_not_fit_name_both_sides():
    """The shape of the inputs and what the architecture says."""
    with pytest.raises(ConfigError, match=r"inputs \(4, 1, 8, 8\) float32: .*shape") as error:
        task(nn.Linear(64, 10)).check_batch(BATCH)
    assert "data.flatten" in str(error.value)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (BATCH[0], "batches \\(inputs, targets\\), the data gives \\(4, 1, 8, 8\\) float32"),
        ((*BATCH, 1), "the data gives \\(\\(4, 1, 8, 8\\) float32, \\(4,\\) int64, int\\)"),
        ((BATCH[0], BATCH[1] + 1), "label 10 for an architecture of 10 scores"),
        ((BATCH[0], BATCH[1] - 1), "label -1 for"),
    ],
)
def test_batches_of_another_form_are_described(batch, message):
    """What it needs, and shape and dtype of what it got."""
    with pytest.raises(DataError, match=message):
        task().check_batch(batch)


def test_a_wrong_number_of_scores_names_both_numbers():
    """12 scores for 10 classes."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
    with pytest.raises(ConfigError, match="gives 12 scores, the data has 10 classes"):
        task(model).check_batch(BATCH)


def test_scores_that_are_no_table_are_described():
    """A model that gives images."""
    with pytest.raises(ConfigError, match=r"gives \(4, 1, 8, 8\) float32 for inputs"):
        task(nn.Identity()).check_batch(BATCH)


def test_a_loss_that_is_no_number_is_described():
    """One value for each record instead of one for the batch."""
    loss = nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ConfigError, match=r"the loss gives \(4,\) float32"):
        task(loss=loss).check_batch(BATCH)
