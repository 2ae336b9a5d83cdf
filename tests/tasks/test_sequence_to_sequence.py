"""SequenceToSequence: what is logged, written and refused, and that it learns."""

import lightning
import pytest
import torch
from torch import nn

from dlplug.architectures.encoder_decoder import EncoderDecoder
from dlplug.data.spec import DataSpec
from dlplug.data.text.dates import Dates
from dlplug.data.text.pairs import Pairs
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.metrics.token_accuracy import TokenAccuracy
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.sequence_to_sequence import SequenceToSequence


class Copying(nn.Module):
    """Writes the source, to whatever end."""

    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, source, target):
        source = nn.functional.pad(source, (0, target.shape[1]))[:, : target.shape[1]]
        source = source.masked_fill(source == 0, 3)
        return nn.functional.one_hot(source, self.vocab_size) * 20.0


def trainer(**arguments):
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )


def task_for(data, architecture=None, **arguments):
    spec = SequenceToSequence.complete(data.data_spec)
    architecture = architecture or Copying(spec.vocab_size)
    metrics = {"token_accuracy": TokenAccuracy()}
    return SequenceToSequence(
        architecture, CrossEntropyLoss(), data_spec=spec, metrics=metrics, **arguments
    )


def copied(tmp_path):
    (tmp_path / "x.tsv").write_text("abcd\tabcd\nabca\tabca\nabcdd\tabcdc\n" * 4)
    data = Pairs(str(tmp_path / "x.tsv"), batch_size=4, validation_fraction=0.5, test_fraction=0.1)
    data.setup("fit")
    return data


def test_what_is_written_is_compared(tmp_path):
    """Exact matches, BLEU over tokens, and the table of predictions."""
    data = copied(tmp_path)
    task = task_for(data)
    with quiet():
        values = trainer().validate(task, datamodule=data, verbose=False)[0]
    data.setup("validate")
    inputs, following = data.split("validation").__getitems__(range(6))
    right = [
        task._cut(source) == task._cut(target)
        for source, target in zip(
            inputs["source"].tolist(), following.clamp(min=0).tolist(), strict=True
        )
    ]
    assert values["val_exact_match"] == pytest.approx(sum(right) / 6)
    assert 0.5 < values["val_bleu"] <= 1
    columns, rows = task.prediction_table(task.predict_step({"source": inputs["source"]}, 0))
    text = [data.saved_tokenizer().decode(row) for row in inputs["source"].tolist()]
    assert columns == ["text"] and rows == [[each] for each in text]


def test_only_some_batches_are_written(tmp_path):
    """None, where none are asked for."""
    data = copied(tmp_path)
    with quiet():
        task = task_for(data, generated_batches=0)
        values = trainer().validate(task, datamodule=data, verbose=False)[0]
    assert set(values) == {"val_loss", "val_token_accuracy"}


def test_tokens_are_shown_where_there_is_no_tokenizer():
    """As numbers."""
    spec = DataSpec(vocab_size=6, start_token=1, end_token=2, sequence_length=4)
    task = SequenceToSequence(Copying(6), CrossEntropyLoss(), data_spec=spec)
    assert task.prediction_table(torch.tensor([[5, 4, 2, 0]])) == (["tokens"], [["5 4"]])


def test_sentinels_are_no_text(tmp_path):
    """A model that writes one, which no tokenizer knows: the table shows the rest."""
    (tmp_path / "x.tsv").write_text("abcd\tabcd\n" * 9)
    data = Pairs(str(tmp_path / "x.tsv"), num_sentinels=2)
    data.setup("fit")
    first = data.data_spec.sentinels.start
    written = torch.tensor([[5, first, 6, first + 1, 3, 0]])
    task = task_for(data)
    assert task.prediction_table(written)[1] == [["ab"]]
    assert task._tokenizer is task._tokenizer  # made once for all batches


def test_what_does_not_fit_is_named(tmp_path):
    """Data without tokens, other inputs, another width, a value out of range."""
    with pytest.raises(InvalidValueError, match="and this has no vocab_size"):
        SequenceToSequence.complete(DataSpec(num_features=3))
    data = copied(tmp_path)
    batch = data.split("train").__getitems__([0, 1])
    with pytest.raises(DataError, match=r"needs inputs \{source"):
        task_for(data).check_batch((torch.zeros(2, 3), torch.zeros(2)))
    with pytest.raises(ConfigError, match="the architecture gives 99 scores"):
        task_for(data, Copying(99)).check_batch(batch)
    with pytest.raises(InvalidValueError, match="beams = 0"):
        task_for(data, beams=0)
    with pytest.raises(InvalidValueError, match="generated_batches = -1"):
        task_for(data, generated_batches=-1)


def test_dates_are_learned():
    """A tenth of the unseen dates to the last digit, at the least; copying gets none."""
    lightning.seed_everything(0, verbose=False)
    data = Dates(1500, batch_size=32, test_fraction=0.0)
    data.setup("fit")
    copies = task_for(data)
    spec = copies.data_spec
    network = EncoderDecoder(spec.num_outputs, spec.vocab_size, dim=48, depth=1, dropout=0.0)
    task = task_for(
        data, network, optimizer=lambda groups: FusedAdamW(groups, lr=4e-3), generated_batches=9
    )
    with quiet():
        trainer(max_epochs=6, limit_val_batches=0).fit(task, datamodule=data)
        values = trainer().validate(task, datamodule=data, verbose=False)[0]
        baseline = trainer().validate(copies, datamodule=data, verbose=False)[0]
    assert baseline["val_exact_match"] == 0
    assert values["val_token_accuracy"] > 0.75 and values["val_exact_match"] > 0.1, values
