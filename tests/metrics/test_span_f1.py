"""span_f1: spans by hand, in every notation, over batches and sequences, and from a config."""

import pytest
import torch
from torch.nn.functional import one_hot

from dlplug import config
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.metrics.span_f1 import SpanF1
from dlplug.run import verbs

BIO = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def counted(true, predicted, names=BIO, **arguments):
    """The metric after one update of texts such as ``"B-PER I-PER O | O B-LOC"``."""
    metric = SpanF1(names, **arguments)
    count(metric, true, predicted)
    return metric


def count(metric, true, predicted, names=BIO):
    sequence, classes = [], []
    for number, sentence in enumerate(true.split("|")):
        sequence += [number] * len(sentence.split())
    for text in (true, predicted):
        labels = text.replace("|", " ").split()
        classes.append(torch.tensor([names.index(label) for label in labels], dtype=torch.int64))
    scores = one_hot(classes[1], len(names)).float()
    metric.update(scores, classes[0], torch.tensor(sequence, dtype=torch.int64))


@pytest.mark.parametrize(
    ("true", "predicted", "right", "num_predicted", "num_true"),
    [
        # The same; the type is wrong; the end is wrong; the beginning is wrong.
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC", 2, 2, 2),
        ("B-PER I-PER O", "B-LOC I-LOC O", 0, 1, 1),
        ("B-PER I-PER O", "B-PER O O", 0, 1, 1),
        ("B-PER I-PER I-PER", "O B-PER I-PER", 0, 1, 1),
        ("B-PER I-PER O", "B-PER I-PER I-PER", 0, 1, 1),
        # A span next to another one of its type, told apart by B alone.
        ("B-PER B-PER O", "B-PER I-PER O", 0, 1, 2),
        ("B-PER B-PER O", "B-PER B-PER O", 2, 2, 2),
        # I without B begins a span after another type or none (IOB1, and careless models).
        ("I-PER I-PER O", "B-PER I-PER O", 1, 1, 1),
        ("B-PER I-LOC I-LOC", "B-PER B-LOC I-LOC", 2, 2, 2),
        ("O I-LOC O I-LOC", "O I-LOC O O", 1, 1, 2),
        # No span goes on in the next sequence.
        ("B-PER | I-PER O", "B-PER | I-PER O", 2, 2, 2),
        ("O B-PER | I-PER", "O B-PER | B-PER", 2, 2, 2),
        # Half of one in two: right 1, predicted 3, true 2.
        ("B-PER O B-LOC I-LOC", "B-PER B-LOC B-LOC O", 1, 3, 2),
        ("O O", "O O", 0, 0, 0),
    ],
)
def test_spans_by_hand(true, predicted, right, num_predicted, num_true):
    """What conlleval counts for the same lines, and the F1 of it."""
    metric = counted(true, predicted)
    found = (int(metric.right), int(metric.predicted), int(metric.true))
    assert found == (right, num_predicted, num_true)
    expected = 2 * right / (num_predicted + num_true) if num_true else 0
    assert float(metric.compute()) == pytest.approx(expected)


def test_it_is_the_mean_of_nothing_but_counts():
    """Micro-averaged: batches and processes add up, however many spans each of them has."""
    metric = counted("B-PER O B-LOC", "B-PER O O")
    count(metric, "B-LOC I-LOC", "B-LOC I-LOC")
    count(metric, "", "")  # a batch without a labelled token
    assert float(metric.compute()) == pytest.approx(2 * 2 / (2 + 3))
    assert {metric._reductions[name].__name__ for name in metric._defaults} == {"dim_zero_sum"}


def test_runs_of_plain_labels():
    """Equal neighbours are a span; the label outside is in none."""
    names = ("lower", "upper", "digit")
    texts = ("upper upper lower upper digit digit", "upper upper lower upper upper digit")
    metric = SpanF1(names, outside="lower")
    count(metric, *texts, names=names)
    assert (int(metric.right), int(metric.predicted), int(metric.true)) == (1, 3, 3)
    metric = SpanF1(names)
    count(metric, *texts, names=names)
    assert (int(metric.right), int(metric.predicted), int(metric.true)) == (2, 4, 4)


def test_what_it_cannot_count_is_named():
    """A label that there is not; a task that tells nothing of sequences."""
    with pytest.raises(InvalidValueError, match="outside = 'o' is none of the labels"):
        SpanF1(BIO, outside="o")
    with pytest.raises(ConfigError, match="needs to know which tokens belong together"):
        SpanF1(BIO).update(torch.zeros(2, 5), torch.zeros(2, dtype=torch.int64))


CONFIG = """
name: tiny
task: sequence_labelling
architecture: {{name: transformer, dim: 16, depth: 1, heads: 1}}
optimizer: {{name: adamw, lr: 0.02}}
data: {{name: token_labels, path: {path}, sequence_length: 8, batch_size: 16}}
metrics: [token_accuracy, span_f1]
trainer: {{max_epochs: 12, accelerator: cpu}}
"""


def test_a_config_names_it(tmp_path):
    """Labels come from the data: a name is two tokens, whose sentences are of any length."""
    lines = []
    for i in range(200):
        lines += ["see O\n"] * (i % 3) + [f"Mr{i % 5} B-PER\n", f"X{i % 7} I-PER\n", "\n"]
    path = tmp_path / "a.conll"
    path.write_text("".join(lines))
    file = tmp_path / "tiny.yaml"
    file.write_text(CONFIG.format(path=path))
    result = verbs.fit(config.load([file]), root=tmp_path, progress=False)
    assert result.metrics["test_span_f1"] == result.metrics["test_token_accuracy"] == 1


def test_a_task_without_sequences_is_refused_at_once(tmp_path):
    """Before there is a run: classes of records have names too."""
    file = tmp_path / "tiny.yaml"
    file.write_text("{architecture: mlp, data: digits, metrics: [span_f1]}")
    with pytest.raises(ConfigError, match="span_f1 needs to know which tokens belong together"):
        verbs.fit(config.load([file]), root=tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()
