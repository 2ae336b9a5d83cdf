"""Sequence labelling: labelled positions, the table of tokens, errors, and that it learns."""

import math
from itertools import pairwise

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from dlplug.architectures.transformer import Transformer
from dlplug.data.spec import DataSpec
from dlplug.data.text.token_labels import TokenLabels
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.losses.focal import FocalLoss
from dlplug.metrics.f1 import F1
from dlplug.metrics.token_accuracy import TokenAccuracy
from dlplug.optim import FusedAdamW
from dlplug.run.ensemble import mean_of
from dlplug.run.quiet import quiet
from dlplug.tasks.sequence_labelling import SequenceLabelling

SPEC = DataSpec(vocab_size=9, num_classes=3, class_names=("A", "B", "C"), sequence_length=5)


def task(classes=3, spec=SPEC, loss=None):
    return SequenceLabelling(
        nn.Embedding(9, classes),
        loss or CrossEntropyLoss(),
        FusedAdamW,
        metrics={"token_accuracy": TokenAccuracy(), "f1": F1(3)},
        data_spec=spec,
    )


BATCH = (torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([[0, 1, 2], [1, -100, -100]]))


def test_it_asks_for_an_encoder_with_an_output_of_each_position():
    """For each class; data without classes is refused."""
    spec = SequenceLabelling.complete(SPEC)
    assert (spec.num_outputs, spec.per_position, spec.is_causal) == (3, True, False)
    with pytest.raises(InvalidValueError, match="this has no num_classes"):
        SequenceLabelling.complete(DataSpec(vocab_size=9))


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), FocalLoss()])
def test_positions_without_a_label_do_not_count(loss):
    """In any loss, also one that knows nothing of -100."""
    module = task(loss=loss)
    output, target = module.output_and_target(BATCH)
    assert target.tolist() == [0, 1, 2, 1] and module.count(target) == 4
    torch.testing.assert_close(output, module.architecture.weight[[5, 6, 7, 8]])
    module.check_batch(BATCH)


def naive(scores, target):
    """A loss that does not think of no records: their mean is NaN."""
    return -scores.log_softmax(dim=1).gather(1, target[:, None]).mean()


def worst(scores, target):
    """Another one: the largest of no numbers is an error."""
    return -scores.log_softmax(dim=1).gather(1, target[:, None]).min()


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), FocalLoss(), naive, worst])
def test_a_batch_without_labels_contributes_nothing(loss):
    """Loss 0, a gradient of 0 of every parameter, and no part in what is measured."""
    unlabelled = BATCH[0], torch.full_like(BATCH[1], -100)
    module = task(loss=loss)
    module.check_batch(unlabelled)
    found = module.loss_of(*module.output_and_target(unlabelled))
    found.backward()
    assert found.item() == 0 and not module.architecture.weight.grad.any()
    values = []
    for batches in ([BATCH], [unlabelled, BATCH, unlabelled]):
        with quiet():
            trainer = lightning.Trainer(
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            loader = DataLoader(batches, batch_size=None)
            values.append(trainer.validate(module, loader, verbose=False)[0])
    assert values[0] == values[1] and 0 < values[0]["val_loss"] < math.inf
    assert set(values[0]) == {"val_loss", "val_token_accuracy", "val_f1"}


def test_the_table_has_a_row_for_each_token():
    """Of batches of different widths; padding has none; tokens by name where it is known."""
    module = task().eval()
    rows = torch.cat([module.predict_step(BATCH, 0), module.predict_step(BATCH[0][:, :2], 1)])
    assert rows.shape == (4, 5, 1 + 3)
    columns, table = module.prediction_table(rows)
    table = list(table)
    assert columns == ["sequence", "position", "token", "predicted", "probability"]
    assert module.record_column == "sequence" and not module.rows_are_records
    assert [row[:3] for row in table] == [
        [0, 0, 5], [0, 1, 6], [0, 2, 7], [1, 0, 8], [2, 0, 5], [2, 1, 6], [3, 0, 8]
    ]  # fmt: skip
    scores = module.architecture.weight[5].softmax(0)
    assert table[0][3] == "ABC"[int(scores.argmax())]
    assert table[0][4] == pytest.approx(float(scores.max().detach()))
    preparation = {"tokenizer": {"kind": "word", "symbols": list("wxyz")}}
    named = task(spec=DataSpec(**SPEC.to_dict() | {"preparation": preparation}))
    assert [row[2] for row in named.prediction_table(rows)[1]][:4] == list("wxyz")
    assert named._tokenizer is named._tokenizer  # made once for all batches


def test_several_models_predict_by_the_mean_of_their_probabilities():
    """One says A, one says C: C by the mean, not B, whose number lies between theirs."""
    parts = []
    for shares in ([0.6, 0.3, 0.1], [0.1, 0.2, 0.7]):
        module = task().eval()
        module.architecture.weight.data[:] = torch.tensor(shares).log()
        parts.append(module.predict_step(BATCH, 0))
    alone = [list(module.prediction_table(part)[1]) for part in parts]
    assert [{row[3] for row in rows} for rows in alone] == [{"A"}, {"C"}]
    rows = list(module.prediction_table(mean_of(parts))[1])
    assert [row[:3] for row in rows] == [row[:3] for row in alone[0]]
    assert [row[3] for row in rows] == ["C"] * 4
    assert [row[4] for row in rows] == pytest.approx([0.4] * 4)


@pytest.mark.parametrize(
    ("batch", "classes", "error", "message"),
    [
        ((BATCH[0], BATCH[1][:, 0]), 3, DataError, "needs a label for each token"),
        ((BATCH[0], BATCH[1].clamp(min=0) + 1), 3, DataError, "label 3 is out of range"),
        (BATCH, 4, ConfigError, "gives 4 scores, the data has 3 classes"),
    ],
)
def test_batches_that_do_not_fit_are_described(batch, classes, error, message):
    """With both sides."""
    with pytest.raises(error, match=message):
        task(classes).check_batch(batch)


def test_it_learns_from_neighbours(tmp_path):
    """Labels that the token alone does not tell: whether the next one is smaller.

    The baseline knows each token's most frequent label.
    """
    lightning.seed_everything(0, verbose=False)
    words = torch.randint(10, 30, (400, 12)).tolist()
    lines = [
        "".join(f"{a} {'down' if b < a else 'up'}\n" for a, b in pairwise(row)) for row in words
    ]
    path = tmp_path / "a.conll"
    path.write_text("\n".join(lines))
    data = TokenLabels(str(path), batch_size=32, sequence_length=12)
    data.setup("fit")
    spec = SequenceLabelling.complete(data.data_spec)
    model = Transformer(2, spec.vocab_size, per_position=True, dim=32, depth=2, heads=2)
    module = SequenceLabelling(
        model,
        CrossEntropyLoss(),
        lambda parameters: FusedAdamW(parameters, lr=5e-3),
        metrics={"token_accuracy": TokenAccuracy()},
        data_spec=spec,
    )
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=15,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, datamodule=data)
        found = trainer.validate(module, datamodule=data, verbose=False)[0]["val_token_accuracy"]
    inputs, labels = data.split("train").__getitems__(range(len(data.split("train"))))
    counts = torch.zeros(spec.vocab_size, 2)
    is_known = labels >= 0
    counts.index_put_(
        (inputs[is_known], labels[is_known]), torch.ones(int(is_known.sum())), accumulate=True
    )
    inputs, labels = data.split("validation").__getitems__(range(len(data.split("validation"))))
    is_known = labels >= 0
    baseline = (counts.argmax(1)[inputs] == labels)[is_known].float().mean()
    print(f"\nright labels: transformer {found:.3f}, each token's usual label {baseline:.3f}")
    assert found > baseline + 0.05
