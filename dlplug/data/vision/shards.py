"""Tar shards in WebDataset's layout: their directories, and single images in them."""

import glob
import io
import os
import tarfile
from typing import NamedTuple

import numpy as np

from dlplug.data.vision.pixels import SUFFIXES, image_pixels, open_image
from dlplug.errors import DataError


class Member(NamedTuple):
    """Where an image lies in a shard."""

    shard: str
    name: str
    start: int
    size: int


def read_shards(pattern: str) -> tuple[list[Member], list[int]]:
    """All images and their classes, shard by shard in the order of their names.

    Raises:
        DataError: there are no shards or no records, or a record is not whole.
    """
    shards = sorted(glob.glob(os.path.expanduser(pattern)))
    if not shards:
        raise DataError(f"data webdataset: no file is named {pattern}")
    members, labels = [], []
    for shard in shards:
        for member, label in read_directory(shard):
            members.append(member)
            labels.append(label)
    if not members:
        raise DataError(f"data webdataset: {pattern} holds no records")
    return members, labels


def read_directory(shard: str) -> list[tuple[Member, int]]:
    """The records of one shard.

    Raises:
        DataError: it is no uncompressed tar, or a record lacks its image or its class.
    """
    images: dict[str, Member] = {}
    classes: dict[str, int] = {}
    try:
        # ":" takes uncompressed files alone: in others nothing can be read from its place.
        with tarfile.open(shard, "r:") as tar:
            for entry in tar:
                if not entry.isfile():
                    continue
                folder, _, name = entry.name.rpartition("/")
                stem, _, ending = name.partition(".")
                key = f"{folder}/{stem}"
                if f".{ending.lower()}" in SUFFIXES:
                    images[key] = Member(shard, entry.name, entry.offset_data, entry.size)
                elif ending == "cls":
                    classes[key] = read_class(tar.extractfile(entry).read(), shard, entry.name)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{shard} cannot be read as an uncompressed tar file: {error}",
            fix="a compressed shard must be unpacked first, with gunzip or the like",
        ) from error
    for key, kind in [*((k, "class") for k in images), *((k, "image") for k in classes)]:
        if key not in (classes if kind == "class" else images):
            raise DataError(f"{shard}: the record {key.lstrip('/')} has no {kind}")
    return [(member, classes[key]) for key, member in images.items()]


def read_class(content: bytes, shard: str, name: str) -> int:
    """The number in a ``.cls`` file.

    Raises:
        DataError: names shard and file of something else.
    """
    text = content.decode("ascii", "replace").strip()
    if not text.isdecimal():
        raise DataError(f"{shard}: {name} holds {text[:20]!r}, which is no class 0, 1, ...")
    return int(text)


def read_member(member: Member, **fitting) -> np.ndarray:
    """The pixels of one image, ``(C, H, W)`` uint8.

    Raises:
        DataError: names the shard and the file in it.
    """
    with open(member.shard, "rb") as file:
        file.seek(member.start)
        content = file.read(member.size)
    image = open_image(io.BytesIO(content), f"{member.shard}: {member.name}")
    return image_pixels(image, **fitting)
