"""LabelledData: the split, the guard of the test records, the check of the labels."""

import lightning
import pytest
import torch

from dlplug.data.labelled import LabelledData
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError, InvalidValueError
from dlplug.transforms.mixup import Mixup
from dlplug.transforms.random_flip import RandomFlip


class Toy(LabelledData):
    """100 records of one number, two classes."""

    data_spec = DataSpec(num_features=1, num_classes=2)
    labels = torch.arange(100) % 2

    def read(self):
        return torch.arange(100.0)[:, None], self.labels


def ready(stage="fit", **arguments):
    data = Toy(batch_size=8, **arguments)
    data.setup(stage)
    return data


def seen(loader):
    return sorted(int(x) for inputs, _ in loader for x in inputs)


def test_the_splits_cover_the_records():
    """70 records to train, 10 to validate, 20 to test, none twice."""
    data = ready("test")
    parts = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    assert [len(seen(part)) for part in parts] == [70, 10, 20]
    assert sorted(record for part in parts for record in seen(part)) == list(range(100))


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_the_test_split_is_closed_while_training(stage):
    """Asking for test records outside the stages test and predict is an error that says so."""
    data = ready(stage)
    with pytest.raises(DataError, match=f"test split was asked for during '{stage}'") as error:
        data.test_dataloader()
    assert "stages test and predict" in str(error.value)
    with pytest.raises(DataError):
        data.predict_dataloader()
    with pytest.raises(DataError):
        data.split("test")


def test_the_test_split_closes_again():
    """After the test it is as closed as before."""
    data = ready("test")
    data.test_dataloader()
    data.teardown("test")
    with pytest.raises(DataError, match="during no stage"):
        data.test_dataloader()


def test_a_training_callback_cannot_reach_the_test_split():
    """Through Lightning's trainer as well: the whole training stops with the error."""

    class Peek(lightning.Callback):
        def on_train_start(self, trainer, pl_module):
            trainer.datamodule.test_dataloader()

    class Nothing(lightning.LightningModule):
        def training_step(self, batch, batch_idx):
            return None

        def configure_optimizers(self):
            return None

    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[Peek()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.warns(), pytest.raises(DataError, match="test split was asked for during 'fit'"):
        trainer.fit(Nothing(), datamodule=Toy())


def test_the_split_ignores_the_seed_of_the_training():
    """Trainings with different seeds are compared on the same test records."""
    torch.manual_seed(1)
    first = ready("test")
    torch.manual_seed(2)
    second = ready("test")
    assert seen(first.test_dataloader()) == seen(second.test_dataloader())
    assert seen(first.test_dataloader()) != seen(ready("test", split_seed=1).test_dataloader())


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_out_of_range_is_named(monkeypatch, label):
    """Split, record and label are named before anything is trained."""
    labels = Toy.labels.clone()
    labels[37] = label
    monkeypatch.setattr(Toy, "labels", labels)
    with pytest.raises(DataError, match=rf"split, record 37: label {label} is out of") as error:
        ready()
    assert "num_classes = 2, so labels are 0 ... 1" in str(error.value)


def test_without_validation_there_is_no_loader():
    """validation_fraction 0 gives no loader instead of an empty one, which Lightning refuses."""
    assert ready(validation_fraction=0.0).val_dataloader() == []


def test_batches_before_setup_are_an_error():
    """The message says what to call."""
    with pytest.raises(DataError, match="not loaded yet"):
        Toy().train_dataloader()


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"num_workers": -1}])
def test_impossible_sizes_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value}"):
        Toy(**arguments)


def test_the_fingerprint_notices_any_change(monkeypatch):
    """It is equal for equal data and differs by one label or another split."""
    first = ready().fingerprint()
    assert first == ready().fingerprint()
    assert first["records"] == {"train": 70, "validation": 10, "test": 20}
    assert ready(split_seed=1).fingerprint()["sha256"] != first["sha256"]
    monkeypatch.setattr(Toy, "labels", 1 - Toy.labels)
    assert ready().fingerprint()["sha256"] != first["sha256"]


def test_the_transform_sees_training_batches_only():
    """While Lightning validates, inputs stay as they are."""

    class Trainer:
        training = True

    data = ready(transforms=[lambda inputs: inputs + 1000])
    batch = (torch.zeros(2, 1), torch.zeros(2))
    assert data.on_after_batch_transfer(batch, 0)[0].tolist() == [[0], [0]]
    data.trainer = Trainer()
    assert data.on_after_batch_transfer(batch, 0)[0].tolist() == [[1000], [1000]]
    data.trainer.training = False
    assert data.on_after_batch_transfer(batch, 0)[0].tolist() == [[0], [0]]


@pytest.mark.parametrize("second", [RandomFlip(), Mixup()])
def test_what_comes_after_a_mixture_takes_inputs_only(second):
    """Mixed targets are two: the message says which transform, and where to put it."""

    class Trainer:
        training = True

    data = ready(transforms=[Mixup(), second])
    data.trainer = Trainer()
    name = type(second).__name__
    with pytest.raises(InvalidValueError, match=f"{name} follows a transform that mixes") as error:
        data.on_after_batch_transfer((torch.zeros(2, 1, 4, 4), torch.zeros(2)), 0)
    assert "fix:   put mixup or cutmix last" in str(error.value)


@pytest.mark.parametrize("arguments", [{"split": "group", "split_by": "x"}, {"split_by": "x"}])
def test_data_without_columns_is_divided_by_fraction_alone(arguments):
    """Nothing is accepted and ignored; a subclass names what it can be divided by."""
    with pytest.raises(InvalidValueError, match=r"known: fraction$|fix:   delete data.split_by$"):
        Toy(**arguments)

    class Divided(Toy):
        split_keys = dict.fromkeys(["group"], "a column")

    assert Divided(split="group", split_by="x").division.key == "x"


class Fragile(Toy):
    """A data module of somebody else, whose data sets know nothing of bad records."""

    class Records(torch.utils.data.Dataset):
        def __init__(self, records):
            self.records = records

        def __len__(self):
            return len(self.records)

        def __getitems__(self, positions):
            if any(self.records[position] in (3, 75, 95) for position in positions):
                raise KeyError("pixels")
            return self.records[torch.tensor(positions)][:, None], torch.zeros(len(positions))

    def load(self):
        parts = torch.arange(100.0).split([70, 10, 20])
        return dict(zip(("train", "validation", "test"), map(self.Records, parts), strict=True))


def fragile(stage="fit", **arguments):
    data = Fragile(batch_size=8, **arguments)
    data.setup(stage)
    return data


def test_bad_records_of_any_data_set_are_set_aside():
    """Replaced by the next one in the training, left out of evaluations."""
    data = fragile("test", quarantine=0.05)
    records = list(range(100))
    train = [4 if record == 3 else record for record in records[:70]]
    assert seen(data.train_dataloader()) == sorted(train)
    assert seen(data.val_dataloader()) == [r for r in records[70:80] if r != 75]
    assert seen(data.test_dataloader()) == [r for r in records[80:] if r != 95]
    assert len(data.quarantine) == 3


def test_bad_records_of_any_data_set_are_named():
    """Without a share: split, position and what its own code said."""
    with pytest.raises(DataError, match=r"record 3 of the train split .*: KeyError: 'pixels'"):
        seen(fragile().train_dataloader())


def test_a_prediction_leaves_out_no_record():
    """Whatever the share."""
    data = fragile("predict", quarantine=0.05)
    with pytest.raises(DataError, match="record 15 of the test split"):
        seen(data.predict_dataloader())


def test_bad_records_are_in_the_checkpoint():
    """A training that goes on knows them without reading them; nothing is saved of good data."""
    data = fragile(quarantine=0.05)
    assert data.state_dict() == {}
    seen(data.train_dataloader())
    resumed = fragile(quarantine=0.05)
    resumed.load_state_dict(data.state_dict())
    assert resumed.quarantine.positions("train") == {3}
    assert ready().state_dict() == {}
