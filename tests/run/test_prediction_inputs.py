"""Inputs from outside reach the architecture as those of a test split do."""

import lightning
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from dlplug.data.loader import as_is, evaluation_loader
from dlplug.data.records import ArrayRecords
from dlplug.run.prediction_inputs import Inputs
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification


class Sum(torch.nn.Module):
    """Can do with one of its two inputs, and gives other scores then."""

    def forward(self, first, second=None):
        return first if second is None else first + second


def predicted(task, loader):
    """What the Trainer of ``predict`` gives for a loader."""
    with quiet():
        trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
        return torch.cat(trainer.predict(task, Inputs(loader)))


def once(dataset):
    return evaluation_loader(dataset, 2, num_workers=0, rank=0, world_size=1)


@pytest.mark.parametrize("of", [once, lambda data: DataLoader(data, 2, collate_fn=as_is)])
def test_two_inputs_are_no_input_and_target(of):
    """A tuple of two tensors is two arguments, whoever made the loader."""
    both = (torch.zeros(3, 2), torch.tensor([[5.0, 0.0], [0.0, 5.0], [1.0, 1.0]]))
    found = predicted(Classification(Sum(), cross_entropy), of(ArrayRecords(both)))
    torch.testing.assert_close(found, both[1].softmax(dim=1))


def test_one_input_is_one_input():
    """A tensor, and a mapping, whose names are the arguments."""
    scores = torch.tensor([[5.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
    for inputs in (scores, {"first": scores - 1, "second": torch.ones(3, 2)}):
        found = predicted(Classification(Sum(), cross_entropy), once(ArrayRecords(inputs)))
        torch.testing.assert_close(found, scores.softmax(dim=1))
