"""Tables that Hugging Face's ``datasets`` has saved in a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlplug.data.keys import Keys
from dlplug.data.split import SPLIT_NAMES
from dlplug.data.vision.pixels import image_pixels, with_its_bits
from dlplug.errors import DataError, suggestion


def open_saved(root: Path) -> Any:
    """The ``Dataset`` or ``DatasetDict`` in a folder.

    Raises:
        DataError: it is none, or ``datasets`` is not installed.
    """
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise DataError(
            "data huggingface needs the package datasets, which is not installed",
            fix="pip install 'dlplug[huggingface]'",
        ) from error
    try:
        return load_from_disk(str(root))
    # pyarrow and the library answer a broken folder with many kinds of exception.
    except Exception as error:
        raise DataError(
            f"{root} cannot be read as a saved data set: {error}",
            known="a folder written by save_to_disk of datasets",
        ) from error


def named_splits(saved: Any, root: Path) -> dict[str, Any]:
    """Tables by dlplug's names of the splits; one table alone is ``train``.

    Raises:
        DataError: a DatasetDict without training records.
    """
    if not isinstance(saved, Mapping):
        return {"train": saved}
    tables = {
        split: next((saved[name] for name in names if name in saved), None)
        for split, names in SPLIT_NAMES.items()
    }
    if tables["train"] is None:
        raise DataError(f"{root} has no split 'train'", known=", ".join(saved))
    return {split: table for split, table in tables.items() if table is not None}


def column(table: Any, name: str) -> Sequence:
    """The values of a column.

    Raises:
        DataError: there is no such column.
    """
    if name not in table.column_names:
        raise DataError(
            f"data huggingface: there is no column {name!r}",
            known=", ".join(table.column_names),
            fix=suggestion(name, table.column_names),
        )
    return table[name]


def keys_of(table: Any, name: str | None, split: str) -> Keys | None:
    """The values of the column that ``split_by`` names; None where it names none.

    Args:
        table: Of one split.
        name: Of the column; one of a ``ClassLabel`` gives the names of the classes.
        split: For messages.
    Raises:
        DataError: there is no such column.
    """
    if name is None:
        return None
    values, names = list(column(table, name)), getattr(table.features[name], "names", None)
    if names is not None:
        # The library writes -1 where there is no class.
        values = [None if value is None or value < 0 else names[value] for value in values]
    return Keys(values, lambda row: f"data huggingface: split {split}, column {name}, row {row}")


def numbers(table: Any, names: Sequence[str]) -> Tensor:
    """Columns of numbers as rows, ``(N, F)`` float64.

    Raises:
        DataError: names column and row of what is no finite number.
    """
    columns = []
    for name in names:
        values = list(column(table, name))
        row = next((i for i, v in enumerate(values) if not is_finite_number(v)), None)
        if row is not None:
            raise DataError(
                f"data huggingface: column {name}, row {row}: {values[row]!r} is no finite number"
            )
        columns.append(torch.tensor(values, dtype=torch.float64))
    return torch.stack(columns, dim=1)


def is_finite_number(value: object) -> bool:
    """Whether ``value`` is a number, and neither NaN nor infinite."""
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def read_row(row: int, table: Any, image: str, **fitting) -> np.ndarray:
    """The pixels of one row's image, ``(C, H, W)`` uint8.

    Raises:
        DataError: names the row whose image cannot be read.
    """
    try:
        picture = table[row][image]
    except Exception as error:
        raise DataError(
            f"data huggingface: column {image}, row {row} cannot be read: {error}"
        ) from error
    if picture is None:
        raise DataError(f"data huggingface: column {image}, row {row} holds no image")
    name = f"data huggingface: column {image}, row {row}"
    return image_pixels(with_its_bits(picture), name, **fitting)
