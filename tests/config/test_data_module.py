"""Data modules are built early, for what they know."""

import random

import numpy as np
import pytest
import torch

from dlplug.config.data_module import refuse_other_data, seeded
from dlplug.config.filling import DataFacts
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError, InvalidValueError

CODE = """
from lightning.pytorch import LightningDataModule


class Gone(LightningDataModule):
    def prepare_data(self):
        open("/no/such/file")


class Odd(LightningDataModule):
    data_spec = {"num_clases": 3}
"""


@pytest.fixture
def odd_data(fake_distribution):
    fake_distribution(
        "odd-data",
        entry_points={"dlplug.datamodules": {"gone": "odd_data:Gone", "odd": "odd_data:Odd"}},
        modules={"odd_data": CODE},
    )


def test_data_that_cannot_be_read_is_named(experiment, odd_data, tmp_path):
    """A missing file is no traceback."""
    with pytest.raises(DataError) as caught:
        experiment("data: gone\narchitecture: tower\n")
    assert str(caught.value) == (
        "data gone cannot read its data: [Errno 2] No such file or directory: '/no/such/file'\n"
        f"  where: {tmp_path}/a.yaml, line 1, data"
    )


def test_a_spec_that_is_none_is_named(experiment, odd_data):
    """With its distribution, and what is wrong with it."""
    with pytest.raises(InvalidValueError) as caught:
        experiment("data: odd\narchitecture: tower\n")
    assert caught.value.what.startswith(
        "data odd of odd-data 1.0 publishes a data_spec that is none: data spec: unknown key"
    )


def test_specs_are_compared_where_both_know():
    """A field that one side lacks is no contradiction."""
    run = DataFacts(DataSpec(num_classes=3, in_channels=1), "the run's data")
    refuse_other_data(DataFacts(DataSpec(num_classes=3, vocab_size=5), "data a"), run, "here")
    refuse_other_data(DataFacts(None, "data a"), run, "here")
    with pytest.raises(InvalidValueError, match="data a has in_channels: 3, the run's data had 1"):
        refuse_other_data(DataFacts(DataSpec(in_channels=3), "data a"), run, "here")


def test_seeding_is_local():
    """Inside, all three generators follow the seed; outside, they go on as before."""

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    with seeded(1):
        first = draw()
    state = random.getstate(), torch.get_rng_state()
    with seeded(1):
        assert draw() == first
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1])
