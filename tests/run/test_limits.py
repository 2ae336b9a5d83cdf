"""check_limits: what leaves no batch of the data is refused before anything is written."""

from types import SimpleNamespace

import lightning
import pytest
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from dlplug import config
from dlplug.errors import InvalidValueError
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.limits import check_limits
from dlplug.run.quiet import quiet

# Of batches of 32 there are 40 to train on, 6 to validate and 12 to test.
ALL = (("trainer.limit_train_batches", "1.0"), ("trainer.limit_val_batches", "1.0"))


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("limit_train_batches", "0.01", "= 0.01 of 40 training batches is not one"),
        ("limit_val_batches", "0.16", "= 0.16 of 6 validation batches is not one"),
        ("limit_test_batches", "0.08", "= 0.08 of 12 test batches is not one"),
        ("overfit_batches", "0.05", "= 0.05 of 6 validation batches is not one"),
        ("val_check_interval", "41", "= 41 batches, of which an epoch has 40"),
    ],
)
def test_a_limit_that_leaves_no_batch(tmp_path, experiment, key, value, what):
    """Named as in the config, with the number of batches; no folder is left."""
    key = f"trainer.{key}"
    with pytest.raises(InvalidValueError) as error:
        verbs.fit(experiment(*ALL, (key, value)), root=tmp_path, progress=False)
    assert error.value.what == f"{key} {what}" and error.value.where == f"command line, {key}"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def trained(digits_file, tmp_path_factory):
    """A run with shares that are a batch or more, and validations within its epochs."""
    shares = [("limit_train_batches", "0.1"), ("limit_val_batches", "0.17")]
    shares += [("limit_test_batches", "0.09"), ("val_check_interval", "4"), ("max_epochs", "1")]
    overrides = [(f"trainer.{key}", value) for key, value in shares]
    experiment = config.load([digits_file], overrides)
    return verbs.fit(experiment, root=tmp_path_factory.mktemp("runs"), progress=False)


def test_what_fits_passes(trained):
    """The test split is closed again before the training."""
    assert trained.batches == "1 of 12" and trained.tests == 1


@pytest.mark.parametrize(("verb", "stage"), [("validate", "val"), ("test", "test")])
def test_so_does_an_evaluation(trained, verb, stage):
    """No test is counted."""
    key, run = f"trainer.limit_{stage}_batches", Run(trained.run)
    experiment = config.load([run.resolved], [(key, "0.01")])
    with pytest.raises(InvalidValueError, match=f"{key} = 0.01 of "):
        getattr(verbs, verb)(experiment, run=run, progress=False)
    assert run.status["tests"] == 1


def test_a_time_fits_every_epoch():
    """It is no number of batches, and needs none."""
    check(SimpleNamespace(datamodule=Stream()), "val_check_interval", "00:00:00:01")


def test_a_split_may_be_empty(tmp_path, experiment):
    """Of no batches, a share is none."""
    shares = [(f"trainer.limit_{stage}_batches", "0.5") for stage in ("val", "test")]
    empty = [(f"data.{split}_fraction", "0") for split in ("validation", "test")]
    made = experiment(*shares, *empty, ("trainer.max_epochs", "1"))
    assert verbs.fit(made, root=tmp_path, progress=False).epochs == 1


class Endless(IterableDataset):
    """Does not know its length."""

    def __iter__(self):
        return iter(())


class Stream(lightning.LightningDataModule):
    """Has one loader, to train on."""

    def train_dataloader(self):
        return DataLoader(Endless())


class Of40(lightning.LightningDataModule):
    """Some loader of 40 batches, to train on."""

    def __init__(self, **arguments):
        super().__init__()
        self.arguments = arguments

    def train_dataloader(self):
        return DataLoader(batch_size=1, **self.arguments)


class Counted(Endless):
    """Knows its length."""

    def __len__(self):
        return 40


TWO = {"devices": 2, "strategy": "ddp"}


def test_each_process_has_its_share(experiment):
    """Whoever divides the batches, Lightning or the data module."""
    ours = experiment()
    ours.datamodule.setup("fit")
    other = SimpleNamespace(datamodule=Of40(dataset=range(40)), where=lambda key: "a.yaml, line 3")
    for made in (ours, other):
        check(made, "val_check_interval", 20, **TWO)
        with pytest.raises(InvalidValueError, match="an epoch has 20 in each process"):
            check(made, "val_check_interval", 21, **TWO)
        with pytest.raises(InvalidValueError, match=r"0\.04 of 20 training batches in each"):
            check(made, "limit_train_batches", 0.04, **TWO)


@pytest.mark.parametrize(
    ("loader", "options"),
    [
        ({"dataset": Counted()}, {}),
        ({"dataset": range(40)}, {"use_distributed_sampler": False}),
        ({"dataset": range(80), "sampler": DistributedSampler(range(80), 2, 0)}, {}),
    ],
    ids=["a stream", "nobody is to", "somebody has"],
)
def test_what_nobody_divides_is_whole(loader, options):
    """Each process has all the batches that the loader knows of."""
    made = SimpleNamespace(datamodule=Of40(**loader), where=lambda key: "a.yaml, line 3")
    check(made, "val_check_interval", 40, **TWO, **options)
    with pytest.raises(InvalidValueError, match="an epoch has 40 in each process"):
        check(made, "val_check_interval", 41, **TWO, **options)


class Needy(lightning.LightningDataModule):
    """Asks the Trainer, of which there is none yet."""

    def train_dataloader(self):
        return DataLoader(range(40), self.trainer.world_size)


@pytest.mark.parametrize("name", ["limit_train_batches", "val_check_interval"])
def test_a_loader_that_needs_the_trainer_is_left_to_it(name):
    """Nothing of it is known yet."""
    made = SimpleNamespace(datamodule=Needy())
    with pytest.raises(AttributeError, match="world_size"):
        made.datamodule.train_dataloader()
    check(made, name, 0.5)


@pytest.mark.parametrize("name", ["limit_train_batches", "val_check_interval"])
def test_a_share_of_what_nobody_knows(name):
    """A number of batches is taken."""
    experiment = SimpleNamespace(datamodule=Stream(), where=lambda key: "a.yaml, line 3")
    check(experiment, name, 5)
    with pytest.raises(InvalidValueError, match=f"{name} = 0.5 is a share, and the data") as error:
        check(experiment, name, 0.5)
    assert error.value.fix == f"give a number of batches: --trainer.{name} 100"


def check(experiment, name, value, **options):
    with quiet():
        arguments = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
        trainer = lightning.Trainer(**arguments, **options, **{name: value})
        check_limits(experiment, trainer, ("train",))
