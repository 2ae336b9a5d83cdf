"""Real verses from start to end: their books, learned from a file of JSON lines."""

import json

import lightning
import pytest
import torch

from dlplug.architectures.transformer import Transformer
from dlplug.data.paths import resolve_path
from dlplug.data.text.jsonl import JSONL
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.metrics.accuracy import Accuracy
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification
from dlplug.transforms.token_masking import TokenMasking

BOOKS = ("Leviticus", "Psalms", "Proverbs", "Isaiah", "Matthew", "Romans")


@pytest.fixture(scope="module")
def verses(tmp_path_factory):
    """Up to 900 verses of each of six books."""
    path = tmp_path_factory.mktemp("verses") / "verses.jsonl"
    left = dict.fromkeys(BOOKS, 900)
    with resolve_path("package:bible/data/kjv.jsonl").open() as lines, path.open("w") as out:
        for line in lines:
            book = json.loads(line)["book"]
            if left.get(book, 0):
                left[book] -= 1
                out.write(line)
    return str(path)


def accuracy_of_bags(path):
    """The linear baseline: logistic regression on how often a verse has each byte."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = JSONL(path, label="book", sequence_length=500)
    data.setup("fit")
    bags = {}
    for name in ("train", "validation"):
        tokens, labels = data.split(name).__getitems__(range(len(data.split(name))))
        counts = torch.zeros(len(tokens), 261).scatter_add_(1, tokens, torch.ones(tokens.shape))
        bags[name] = (counts[:, 5:].numpy(), labels.numpy())
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    majority = max(torch.from_numpy(bags["validation"][1]).bincount()) / len(bags["validation"][1])
    return model.fit(*bags["train"]).score(*bags["validation"]), float(majority)


def test_subwords_tell_more_than_counts_of_bytes(verses):
    """A small transformer of subwords beats the most frequent book, and the linear baseline."""
    lightning.seed_everything(0, verbose=False)
    data = JSONL(
        verses,
        label="book",
        tokenizer="subword",
        vocab_size=1500,
        sequence_length=40,
        batch_size=32,
        transforms=[TokenMasking(0.1)],
    )
    data.setup("fit")
    spec = Classification.complete(data.data_spec)
    model = Transformer(spec.num_outputs, spec.vocab_size, dim=32, depth=1, heads=2, dropout=0.2)
    module = Classification(
        model,
        CrossEntropyLoss(),
        lambda parameters: FusedAdamW(parameters, lr=5e-3),
        metrics={"accuracy": Accuracy(spec.num_classes)},
        data_spec=spec,
    )
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, datamodule=data)
        found = trainer.validate(module, datamodule=data, verbose=False)[0]["val_accuracy"]
    linear, majority = accuracy_of_bags(verses)
    print(f"\nright: transformer {found:.3f}, bytes {linear:.3f}, most frequent {majority:.3f}")
    assert found > linear + 0.05 > majority + 0.1
