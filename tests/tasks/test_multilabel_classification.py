"""MultilabelClassification: probabilities, predictions, and bad batches."""

import pytest
import torch
from torch import nn

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.losses.binary_cross_entropy import BinaryCrossEntropyLoss
from dlplug.metrics.multilabel_auroc import MultilabelAUROC
from dlplug.metrics.multilabel_f1 import MultilabelF1
from dlplug.tasks.multilabel_classification import MultilabelClassification

SPEC = DataSpec(num_features=4, num_classes=3, class_names=("red", "round", "old"))
LABELS = torch.tensor([[1.0, 0, 0], [0, 1, 1]])
BATCH = (torch.randn(2, 4), LABELS)


def task(model=None):
    metrics = {"f1": MultilabelF1(3), "auroc": MultilabelAUROC(3)}
    loss = BinaryCrossEntropyLoss()
    return MultilabelClassification(
        model or nn.Linear(4, 3), loss=loss, metrics=metrics, data_spec=SPEC
    )


def test_each_label_has_its_own_probability():
    """Sigmoid, in float32; the metrics take the labels as whole numbers."""
    output = torch.tensor([[0.0, 2.0, -2.0]])
    probabilities, labels = task().measured(output.bfloat16(), LABELS[:1])
    torch.testing.assert_close(probabilities, output.sigmoid())
    assert labels.dtype == torch.int64


def test_the_table_says_which_labels_are_present():
    """From a probability of 0.5 on, parted by semicolons; none is an empty cell."""
    columns, rows = task().prediction_table(torch.tensor([[0.5, 0.1, 0.75], [0.0, 0.25, 0.0]]))
    assert columns == ["predicted", "p_red", "p_round", "p_old"]
    assert [row[0] for row in rows] == ["red;old", ""]


def test_it_decides_the_width():
    """One output for each label; data without labels are refused."""
    assert MultilabelClassification.complete(SPEC).num_outputs == 3
    with pytest.raises(DataError, match="publishes no num_classes"):
        MultilabelClassification.complete(DataSpec(num_targets=1))


def test_batches_that_do_not_fit_are_refused():
    """Classes, labels that are neither 0 nor 1, and a wrong width."""
    task().check_batch(BATCH)
    with pytest.raises(DataError, match="use the task classification"):
        task().check_batch((BATCH[0], torch.tensor([1, 2])))
    with pytest.raises(DataError, match="label 2 is neither 0 nor 1"):
        task().check_batch((BATCH[0], LABELS * 2))
    with pytest.raises(ConfigError, match="gives 5 scores, the data has 3 labels"):
        task(nn.Linear(4, 5)).check_batch(BATCH)
