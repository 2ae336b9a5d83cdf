"""Tar shards in WebDataset's layout: their directories, and single images in them."""

import glob
import io
import json
import os
import tarfile
from collections.abc import Container
from typing import NamedTuple

import numpy as np

from dlplug.data.text.jsonl_file import values_of
from dlplug.data.vision.pixels import SUFFIXES, image_pixels, open_image
from dlplug.errors import DataError


class Member(NamedTuple):
    """Where an image lies in a shard."""

    shard: str
    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """What the files of its record have in common: their path up to the first point."""
        return key_of(self.name)


class Directory(NamedTuple):
    """The records of one or several shards, in lists of one length.

    Args:
        members: Their images.
        labels: Their classes.
        values: Of the field that was asked for; None where none was.
    """

    members: list[Member]
    labels: list[int]
    values: list[object]


def key_of(name: str) -> str:
    """See `Member.key`."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def read_shards(pattern: str, field: str | None = None) -> Directory:
    """All images and their classes, shard by shard in the order of their names.

    Args:
        pattern: A path with ``*`` and ``?``.
        field: Of the records' ``.json`` files, to be read as well.
    Raises:
        DataError: there are no shards or no records, or a record is not whole.
    """
    shards = sorted(glob.glob(os.path.expanduser(pattern)))
    if not shards:
        raise DataError(f"data webdataset: no file is named {pattern}")
    records = [record for shard in shards for record in read_directory(shard, field)]
    if not records:
        raise DataError(f"data webdataset: {pattern} holds no records")
    return Directory(*map(list, zip(*records, strict=True)))


def read_directory(shard: str, field: str | None = None) -> list[tuple[Member, int, object]]:
    """The records of one shard: image, class, and value of the field, None where none is named.

    Raises:
        DataError: it is no uncompressed tar, or a record lacks its image, its class or the field,
            or has one of them twice.
    """
    images: dict[str, Member] = {}
    classes: dict[str, int] = {}
    values: dict[str, object] = {}
    try:
        # ":" takes uncompressed files alone: in others nothing can be read from its place.
        with tarfile.open(shard, "r:") as tar:
            for entry in tar:
                if not entry.isfile():
                    continue
                key = key_of(entry.name)
                ending = entry.name.removeprefix(key).removeprefix(".")
                place = f"{shard}: {entry.name}"
                if f".{ending.lower()}" in SUFFIXES:
                    _refuse_second(key, images, "image", place)
                    images[key] = Member(shard, entry.name, entry.offset_data, entry.size)
                elif ending == "cls":
                    _refuse_second(key, classes, "class", place)
                    classes[key] = read_class(tar.extractfile(entry).read(), shard, entry.name)
                elif ending == "json" and field is not None:
                    _refuse_second(key, values, ".json", place)
                    values[key] = read_field(tar.extractfile(entry).read(), field, place)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{shard} cannot be read as an uncompressed tar file: {error}",
            fix="a compressed shard must be unpacked first, with gunzip or the like",
        ) from error
    for key, kind in [*((k, "class") for k in images), *((k, "image") for k in classes)]:
        if key not in (classes if kind == "class" else images):
            raise DataError(f"{shard}: the record {key} has no {kind}")
    for key in images if field is not None else ():
        if key not in values:
            raise DataError(
                f"{shard}: the record {key} has no .json, and data.split_by names {field!r}"
            )
    return [(member, classes[key], values.get(key)) for key, member in images.items()]


def _refuse_second(key: str, found: Container[str], kind: str, place: str) -> None:
    if key in found:
        raise DataError(
            f"{place} is a second {kind} of the record {key}",
            fix="give every record a key of its own",
        )


def read_class(content: bytes, shard: str, name: str) -> int:
    """The number in a ``.cls`` file.

    Raises:
        DataError: names shard and file of something else.
    """
    text = content.decode("ascii", "replace").strip()
    if not text.isdecimal():
        raise DataError(f"{shard}: {name} holds {text[:20]!r}, which is no class 0, 1, ...")
    return int(text)


def read_field(content: bytes, field: str, place: str) -> object:
    """The value of a field in a ``.json`` file.

    Args:
        content: Of the file.
        field: Name of the field.
        place: What the file is called in messages.
    Raises:
        DataError: the file holds no object, or lacks the field.
    """
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: no JSON: {error}") from error
    return values_of(record, [field], place)[0]


def read_member(member: Member, **fitting) -> np.ndarray:
    """The pixels of one image, ``(C, H, W)`` uint8.

    Raises:
        DataError: names the shard and the file in it.
    """
    with open(member.shard, "rb") as file:
        file.seek(member.start)
        content = file.read(member.size)
    name = f"{member.shard}: {member.name}"
    return image_pixels(open_image(io.BytesIO(content), name), name, **fitting)
