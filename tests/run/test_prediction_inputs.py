"""Inputs from outside reach the architecture as those of a test split do."""

import json

import lightning
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from dlplug.data.loader import as_is, evaluation_loader
from dlplug.data.records import ArrayRecords, Records
from dlplug.data.text.jsonl import JSONL
from dlplug.run.prediction_inputs import Inputs
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification
from dlplug.tasks.language_modelling import LanguageModelling


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


class Alone(lightning.LightningModule):
    """A task of somebody's own: Lightning's `predict_step` gives each batch to `forward`."""

    def forward(self, inputs):
        return inputs * 2


@pytest.mark.parametrize("of", [once, lambda data: DataLoader(data, 2, collate_fn=as_is)])
def test_a_module_that_is_no_task_gets_the_inputs_alone(of):
    """Whether or not the data has targets beside them."""
    inputs = torch.arange(6.0).reshape(3, 2)
    for dataset in (ArrayRecords(inputs), Records(inputs, torch.zeros(3))):
        assert predicted(Alone(), of(dataset)).equal(inputs * 2)


class Positions(torch.nn.Module):
    """Scores that depend on a token and its place, of which there are as many as the data has."""

    def __init__(self, vocab_size, length):
        super().__init__()
        torch.manual_seed(0)
        self.token = torch.nn.Embedding(vocab_size, vocab_size)
        self.place = torch.nn.Embedding(length, vocab_size)

    def forward(self, source, target=None):
        """``(B, T, C)``; of a source and a target, of the target."""
        tokens = source if target is None else target
        lengths = (source != 0).sum(dim=1)[:, None]
        return self.token(tokens) + self.place(torch.arange(tokens.shape[1])) + self.place(lengths)


@pytest.mark.parametrize("objective", ["causal", "masked", "span", "span_corruption"])
def test_documents_are_those_of_a_split(tmp_path, objective):
    """The same likelihoods, so the same questions; some texts are cut, some padded."""
    texts = ["hello", "a longer text than fits", "one two three"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (tmp_path / "a.txt").write_text("\n".join(texts))
    shares = {"validation_fraction": 0.0, "test_fraction": 0.0}
    data = JSONL(str(tmp_path / "a.jsonl"), sequence_length=16, num_sentinels=3, **shares)
    data.setup("fit")
    spec = LanguageModelling.complete(data.data_spec, objective)
    network = Positions(spec.vocab_size, 17)
    task = LanguageModelling(network, cross_entropy, data_spec=spec, objective=objective)
    expected = predicted(task, once(data.split("train")))
    assert bool((expected[:, 1] > 0).all())
    for name in ("a.jsonl", "a.txt"):
        assert predicted(task, once(data.read_input(tmp_path / name))).equal(expected)
