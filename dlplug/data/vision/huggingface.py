"""A data set that Hugging Face's ``datasets`` has saved in a folder."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.deviation import divisor
from dlplug.data.division import WAYS
from dlplug.data.paths import resolve_path
from dlplug.data.records import ArrayRecords, Records
from dlplug.data.spec import DataSpec
from dlplug.data.split import SPLITS
from dlplug.data.split_data import SplitData
from dlplug.data.vision.image_records import ImageInputs, ImageRecords, channel_statistics
from dlplug.data.vision.pixels import check_fit, image_files, read_pixels, sides
from dlplug.data.vision.saved_tables import (
    column,
    keys_of,
    named_splits,
    numbers,
    open_saved,
    read_row,
)
from dlplug.errors import DataError, InvalidValueError


class HuggingFace(SplitData):
    """Images ``(B, C, H, W)``, or rows of numbers ``(B, F)``, with a class each; float32.

    ``path`` is what ``save_to_disk`` of a ``Dataset`` or ``DatasetDict`` has written; nothing is
    downloaded. A DatasetDict needs ``train``; a validation or test split that it lacks is taken
    from the training records by its fraction, and one that it has takes no fraction. Inputs are
    standardised by the training records. Images are decoded when they are needed. ``split_by``
    names a column.

    Args:
        path: Folder, or ``package:NAME/inner/path``.
        image: Column of the images; give this or ``features``.
        features: Columns of numbers.
        label: Column of the class: a ``ClassLabel``, or texts or whole numbers.
        image_size, fit, greyscale: As for `ImageFolder`; of images only.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: neither or both of ``image`` and ``features``, or a value out of range.
    """

    split_keys = dict.fromkeys(WAYS, "a column")
    learns = ("mean", "std")

    def __init__(
        self,
        path: str,
        image: str | None = None,
        features: Sequence[str] | None = None,
        label: str = "label",
        image_size: int | tuple[int, int] = 64,
        fit: str = "crop",
        greyscale: bool = False,
        **loading,
    ):
        super().__init__(**loading)
        if (image is None) == (not features):
            raise InvalidValueError(
                f"data huggingface: image = {image!r}, features = {features}",
                fix="give the column of the images, or the columns of the numbers",
            )
        check_fit(fit, "huggingface")
        self.division.refuse_role(image, label, *(features or ()))
        self.path = path
        self.image = image
        self.features = None if features is None else list(features)
        self.label = label
        self.size = sides(image_size, "huggingface")
        self.fitting = {"size": self.size, "fit": fit, "greyscale": greyscale}
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Sizes and classes, once the folder has been read."""
        return self._spec or self.adopted

    def stated(self) -> dict[str, Any]:
        """See `SplitData.stated`."""
        if self.image is None:
            return {"num_features": len(self.features)}
        channels = 1 if self.fitting["greyscale"] else 3
        return {"in_channels": channels, "image_size": self.size}

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        return {"fit": self.fitting["fit"]} if self.image else {"features": self.features}

    def load(self) -> Mapping[str, Dataset]:
        """Open the folder, divide the records, learn mean and deviation of the training ones.

        Raises:
            DataError: a column is missing or of another type, or ``datasets`` is not installed.
        """
        root = resolve_path(self.path)
        tables = named_splits(open_saved(root), root)
        names, labels = self._classes(tables)
        keys = {split: keys_of(t, self.division.key, split) for split, t in tables.items()}
        of_train = keys.pop("train")
        drawn = self.division.rows(len(tables["train"]), of_train, labels["train"], apart=keys)
        # Split -> table in which its records stand, and which rows of it they are.
        parts = {
            split: (split, torch.arange(len(tables[split])))
            if split in tables and split != "train"
            else ("train", drawn[split])
            for split in SPLITS
        }
        self._publish(names, tables["train"], drawn["train"])
        made = self._images if self.image else self._rows
        return {
            split: made(tables[name], labels[name], rows) for split, (name, rows) in parts.items()
        }

    def read_input(self, path: Path) -> Dataset:
        """Another saved ``Dataset`` with the same columns, or, for images, files of images.

        Raises:
            DataError: there is nothing of that kind, or nothing has been learned yet.
        """
        path, mean, std = Path(path), *self._statistics()
        if (path / "dataset_info.json").is_file():
            table = open_saved(path)
            if self.image is None:
                return ArrayRecords(standardised(numbers(table, self.features), mean, std))
            self._check_images(table)
            return ImageInputs(range(len(table)), self._reader(table), mean, std)
        files = image_files(path) if path.is_dir() else [path] * path.is_file()
        if self.image is None or not files:
            raise DataError(
                f"{path} holds no inputs",
                known="a folder written by Dataset.save_to_disk"
                + (", or image files" if self.image else ""),
            )
        return ImageInputs(files, partial(read_pixels, **self.fitting), mean, std)

    def _classes(self, tables: Mapping[str, Any]) -> tuple[list[str], dict[str, Tensor]]:
        values = {split: list(column(table, self.label)) for split, table in tables.items()}
        names = getattr(tables["train"].features[self.label], "names", None)
        if names is not None:
            if any(value is None or value < 0 for rows in values.values() for value in rows):
                raise DataError(f"data huggingface: {self.label} holds records without a class")
            if self.adopted is not None and list(self.adopted.class_names) != list(names):
                raise DataError(
                    f"data huggingface: {self.label} has the classes {', '.join(names)}, the"
                    f" training had {', '.join(self.adopted.class_names)}"
                )
            labels = {split: torch.tensor(rows) for split, rows in values.items()}
            return list(names), labels
        if not all(isinstance(v, (str, int)) for rows in values.values() for v in rows):
            raise DataError(
                f"data huggingface: {self.label} holds values that name no class",
                known="a ClassLabel, texts or whole numbers",
            )
        known = [str(value) for value in sorted(set(values["train"]))]
        if self.adopted is not None:
            known = list(self.adopted.class_names)
        # By name, which is what a run records: bool("False") would be true.
        index = {name: number for number, name in enumerate(known)}
        for split, rows in values.items():
            new = next((value for value in rows if str(value) not in index), None)
            if new is not None:
                raise DataError(f"data huggingface: the split {split} has the new class {new!r}")
        labels = {s: torch.tensor([index[str(v)] for v in rows]) for s, rows in values.items()}
        return known, labels

    def _publish(self, names: Sequence[str], table: Any, rows: Tensor) -> None:
        if self.adopted is not None:
            self._spec = self.adopted
            return
        if self.image:
            self._check_images(table)
            reader = self._reader(table)
            mean, std = channel_statistics(rows.tolist(), reader, self.leave_out_of_train)
            count = len(mean) * self.size[0] * self.size[1]
            facts = {"in_channels": len(mean), "image_size": self.size, "num_features": count}
        else:
            inputs = numbers(table, self.features)[rows]
            mean, std = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
            mean, std = mean.tolist(), divisor(inputs.numpy(), std.numpy()).tolist()
            facts = {"num_features": len(self.features)}
        self._spec = DataSpec(
            num_classes=len(names),
            class_names=tuple(names),
            preparation=self.preparation(mean=mean, std=std),
            **facts,
        )

    def _statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        learned = self.data_spec and self.data_spec.preparation
        if not learned:
            raise DataError("data huggingface: mean and deviation are not known yet")
        return learned["mean"], learned["std"]

    def _check_images(self, table: Any) -> None:
        column(table, self.image)
        kind = table.features[self.image]
        if type(kind).__name__ != "Image":
            raise DataError(
                f"data huggingface: the column {self.image} holds {kind}, no images",
                fix="cast it with datasets.Image() before saving",
            )

    def _reader(self, table: Any):
        return partial(read_row, table=table, image=self.image, **self.fitting)

    def _images(self, table: Any, labels: Tensor, rows: Tensor) -> Dataset:
        self._check_images(table)
        return SavedImages(rows.tolist(), labels[rows], self._reader(table), *self._statistics())

    def _rows(self, table: Any, labels: Tensor, rows: Tensor) -> Dataset:
        inputs = standardised(numbers(table, self.features), *self._statistics())
        return Records(inputs, labels, rows)


class SavedImages(ImageRecords):
    """Images in the rows of a table, by their number."""

    def digest(self) -> str:
        """The library's own fingerprint of the table, which rows, and their classes."""
        return f"{self.read.keywords['table']._fingerprint} {self.paths} {self.labels.tolist()}"


def standardised(inputs: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(inputs - mean) / std of each column, float32."""
    mean, std = (torch.tensor(values, dtype=inputs.dtype) for values in (mean, std))
    return ((inputs - mean) / std).float()
