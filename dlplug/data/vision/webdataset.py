"""Images with classes in tar shards, in WebDataset's layout."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.path_keys import check_pattern, is_pattern, path_keys
from dlplug.data.spec import DataSpec
from dlplug.data.split_data import SplitData
from dlplug.data.vision.image_records import ImageInputs, ImageRecords, channel_statistics
from dlplug.data.vision.pixels import check_fit, images_at, read_pixels, sides
from dlplug.data.vision.shards import Directory, Member, read_member, read_shards
from dlplug.errors import DataError, InvalidValueError


class WebDataset(SplitData):
    """Images ``(B, C, H, W)`` float32, standardised, with a class each, out of local tar files.

    A record is ``KEY.png`` (or jpg, ...) and ``KEY.cls`` with its class as a number, side by side
    in one shard. The shards' directories are read once, and each image from its place when it is
    needed. So an epoch has a known size, any order, every record once whatever the number of
    processes, and a resumed training goes on where it stopped: none of which a stream can do. The
    price: shards must be uncompressed files on a disk that can be read from any place. Addresses
    and compressed shards are refused.

    ``split_by`` is a regular expression with one group, searched in the records' KEYs:
    ``'patient([0-9]+)'``. Without a parenthesis it names a field of ``KEY.json``.

    Args:
        shards: Files, as a path with ``*`` and ``?``, such as ``data/train-*.tar``.
        validation: Shards of the validation split; None to take a share of the training records.
        test: Shards of the test split; likewise.
        class_names: Names of the classes 0, 1, ...; None for their numbers.
        image_size, fit, greyscale: As for `ImageFolder`.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: a value out of range.
    """

    split_keys = dict.fromkeys(
        WAYS, "a field of the .json files, or a regular expression with one group for the keys,"
    )
    sources = ("shards", "validation", "test")
    learns = ("mean", "std")

    def __init__(
        self,
        shards: str,
        validation: str | None = None,
        test: str | None = None,
        class_names: Sequence[str] | None = None,
        image_size: int | tuple[int, int] = 64,
        fit: str = "crop",
        greyscale: bool = False,
        **loading,
    ):
        super().__init__(**loading)
        check_fit(fit, "webdataset")
        if is_pattern(self.division.key):
            check_pattern(self.division.key)
        self.shards = {"train": shards, "validation": validation, "test": test}
        for pattern in self.shards.values():
            if pattern is not None and ("://" in pattern or pattern.startswith("pipe:")):
                raise InvalidValueError(
                    f"data webdataset: {pattern!r} is no local file",
                    fix="fetch the shards first: a stream has no size, order or place to resume at",
                )
        self.class_names = None if class_names is None else list(class_names)
        self.size = sides(image_size, "webdataset")
        self.fitting = {"size": self.size, "fit": fit, "greyscale": greyscale}
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Channels, size and classes, once the shards' directories have been read."""
        return self._spec or self.adopted

    def stated(self) -> dict[str, Any]:
        """See `SplitData.stated`."""
        names = {} if self.class_names is None else {"class_names": self.class_names}
        channels = 1 if self.fitting["greyscale"] else 3
        return {"in_channels": channels, "image_size": self.size} | names

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        return {"fit": self.fitting["fit"]}

    def load(self) -> Mapping[str, Dataset]:
        """Read the directories, divide the records, learn mean and deviation.

        Raises:
            DataError: names the shard, and the record that is not whole.
        """
        field = None if is_pattern(self.division.key) else self.division.key
        found = {
            s: read_shards(shard, field) for s, shard in self.shards.items() if shard is not None
        }
        keys = {split: self._keys(directory) for split, directory in found.items()}
        (members, labels, _), of_train = found.pop("train"), keys.pop("train")
        rows = self.division.rows(len(members), of_train, torch.tensor(labels), apart=keys)
        parts = {
            split: ([members[row] for row in r.tolist()], [labels[row] for row in r.tolist()])
            for split, r in rows.items()
        } | {split: (part.members, part.labels) for split, part in found.items()}
        self._publish(parts["train"][0], [label for _, part in parts.values() for label in part])
        read, learned = partial(read_member, **self.fitting), self._spec.preparation
        return {
            split: ShardRecords(
                where, torch.tensor(classes).long(), read, learned["mean"], learned["std"]
            )
            for split, (where, classes) in parts.items()
        }

    def read_input(self, path: Path) -> ImageInputs:
        """One image file, or all in a folder, sorted by their path.

        Raises:
            DataError: there is none, or nothing has been learned yet.
        """
        files = images_at(Path(path))
        learned = self.data_spec and self.data_spec.preparation
        if not learned:
            raise DataError("data webdataset: mean and deviation are not known yet")
        read = partial(read_pixels, **self.fitting)
        return ImageInputs(files, read, learned["mean"], learned["std"])

    def _keys(self, records: Directory) -> Keys | None:
        key, members = self.division.key, records.members
        if key is None:
            return None
        if is_pattern(key):
            names = [member.key for member in members]
            return path_keys(key, names, lambda row: f"{members[row].shard}: {names[row]}")
        return Keys(
            records.values,
            lambda row: f"{members[row].shard}: {members[row].key}.json, field {key!r}",
        )

    def _publish(self, members: Sequence[Member], labels: Sequence[int]) -> None:
        if self.adopted is not None:
            names = self.adopted.class_names
        elif self.class_names is not None:
            names = self.class_names
        else:
            names = list(map(str, range(max(labels) + 1)))
        if max(labels) >= len(names):
            raise DataError(
                f"data webdataset: a record has the class {max(labels)}",
                known=", ".join(f"{i} {name}" for i, name in enumerate(names)),
            )
        if self.adopted is not None:
            self._spec = self.adopted
            return
        read = partial(read_member, **self.fitting)
        mean, std = channel_statistics(members, read, self.leave_out_of_train)
        self._spec = DataSpec(
            in_channels=len(mean),
            image_size=self.size,
            num_features=len(mean) * self.size[0] * self.size[1],
            num_classes=len(names),
            class_names=tuple(names),
            preparation=self.preparation(mean=mean, std=std),
        )


class ShardRecords(ImageRecords):
    """Images in shards, by their place."""

    def digest(self) -> str:
        """Names, places and classes of all records, in order."""
        rows = zip(self.paths, self.labels.tolist(), strict=True)
        return " ".join(
            f"{Path(m.shard).name}:{m.name}:{m.start}:{m.size}:{label}" for m, label in rows
        )
