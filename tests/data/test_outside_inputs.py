"""Inputs from outside: one array in a file, and what is none."""

import numpy as np
import pytest
import torch

from dlplug.data.digits import Digits
from dlplug.data.outside_inputs import OutsideInputs, read_array
from dlplug.errors import ConfigError, DataError


def test_an_array_becomes_batches_in_order(tmp_path):
    """As the data module prepares it, `batch_size` records each."""
    images = np.arange(5 * 64, dtype=np.float64).reshape(5, 8, 8) % 17
    np.save(tmp_path / "x.npy", images)
    data = Digits(batch_size=2)
    batches = list(data.input_loader(tmp_path / "x.npy"))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    torch.testing.assert_close(torch.cat(batches), data.prepare_input(images))


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_what_is_no_array_is_named(tmp_path, content):
    """An empty file, a text, and the beginnings of an archive and of an array."""
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npy cannot be read as an array: \w+"):
        read_array(tmp_path / "x.npy")


def test_missing_files_and_several_arrays_are_refused(tmp_path):
    """The second with what to do."""
    with pytest.raises(DataError, match=r"x\.npy cannot be read as an array: .*No such file"):
        read_array(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", a=np.zeros(2), b=np.ones(2))
    with pytest.raises(DataError, match=r"archive of several arrays\n  fix:   save one array"):
        read_array(tmp_path / "x.npz")


def test_data_without_a_preparation_takes_no_inputs(tmp_path):
    """The message says what it lacks."""
    with pytest.raises(ConfigError, match=r"it has no prepare_input\(\)"):
        OutsideInputs().read_input(tmp_path / "x.npy")
