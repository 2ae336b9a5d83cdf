"""Inputs from outside, for which a trained model is to predict."""

from pathlib import Path
from zipfile import BadZipFile

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset

from dlplug.data.loader import evaluation_loader
from dlplug.data.records import ArrayRecords
from dlplug.errors import ConfigError, DataError


class OutsideInputs(lightning.LightningDataModule):
    """Reads inputs that are no records of the data, in batches of ``batch_size``."""

    batch_size: int

    def read_input(self, path: Path) -> Dataset:
        """Inputs from outside, as a data set whose batches are the inputs of a model.

        Those of `Records` are inputs and targets: texts to model have their next tokens in them.
        Here: a ``.npy`` file of one array, given to ``prepare_input(array)``.

        Raises:
            DataError: the file is missing, or does not look like the data.
            ConfigError: the data module cannot take inputs from outside.
        """
        if not hasattr(self, "prepare_input"):
            raise ConfigError("this data takes no inputs from outside: it has no prepare_input()")
        return ArrayRecords(self.prepare_input(read_array(path)))

    def input_loader(self, path: Path) -> DataLoader:
        """Batches of `read_input`, in order."""
        return evaluation_loader(
            self.read_input(path), self.batch_size, num_workers=0, rank=0, world_size=1
        )


def read_array(path: Path) -> np.ndarray:
    """The one array in a ``.npy`` file.

    Raises:
        DataError: the file is missing, or something else.
    """
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an array: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{path} is an archive of several arrays", fix="save one array with np.save"
        )
    return array
