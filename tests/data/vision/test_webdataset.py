"""Tar shards: read from their places, in WebDataset's layout."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from dlplug.data.vision.webdataset import WebDataset
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES, positions
from tests.data.vision.pictures import write_faces


def add(tar, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    """40 faces and other crops in two shards, ``KEY.png`` and ``KEY.cls``."""
    files = sorted(write_faces(tmp_path / "files", 40).rglob("*.png"))
    for number in range(2):
        with tarfile.open(tmp_path / f"train-{number}.tar", "w") as tar:
            for path in files[number::2]:
                add(tar, f"set/{path.stem}.png", path.read_bytes())
                add(tar, f"set/{path.stem}.cls", b"0" if path.parent.name == "face" else b"1\n")
    return tmp_path


def data_of(shards, pattern="train-*.tar", **arguments):
    chosen = {"image_size": 25, "greyscale": True, "batch_size": 8} | arguments
    data = WebDataset(str(shards / pattern), **chosen)
    data.setup("fit")
    return data


def test_another_fit_than_in_the_training_is_refused(shards):
    """The network has learned from other pixels."""
    spec = data_of(shards).data_spec
    data = WebDataset("other.tar", image_size=25, greyscale=True, fit="stretch")
    with pytest.raises(InvalidValueError, match=r"fit = 'stretch' by its arguments, .* 'crop'"):
        data.adopt(type(spec).from_dict(spec.to_dict()))


def test_records_are_read_from_their_places(shards):
    """The very pixels of the files, standardised; classes from the .cls files."""
    data = data_of(shards, class_names=["face", "other"])
    spec = data.data_spec
    assert spec.class_names == ("face", "other") and spec.image_size == 25
    assert data.split_sizes == {"train": 28, "validation": 4, "test": 8}
    train = data.split("train")
    images, labels = train.__getitems__(range(28))
    mean, std = spec.preparation["mean"][0], spec.preparation["std"][0]
    for member, image, label in zip(train.paths, images, labels, strict=True):
        folder = "other" if label else "face"
        path = shards / "files" / folder / member.name.removeprefix("set/")
        pixels = torch.from_numpy(np.asarray(Image.open(path)) / 255)
        torch.testing.assert_close(image[0], ((pixels - mean) / std).float(), rtol=1e-4, atol=1e-4)
    assert data.fingerprint() == data_of(shards).fingerprint()


def test_workers_give_the_same_batches_and_a_loader_resumes(shards):
    """Two processes give what one gives; a saved position leads to the batches that were left."""
    alone, apart = data_of(shards), data_of(shards, num_workers=2)
    batches = list(alone.train_dataloader())
    for one, two in zip(batches, apart.train_dataloader(), strict=True):
        assert torch.equal(one[0], two[0])
    loader = alone.train_dataloader()
    iterator = iter(loader)
    next(iterator), next(iterator)
    resumed = alone.train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    for one, two in zip(batches[2:], resumed, strict=True):
        assert torch.equal(one[0], two[0])


def test_splits_may_have_shards_of_their_own(shards):
    """The test split is a shard; the validation split comes from the training records."""
    data = data_of(shards, "train-0.tar", test=str(shards / "train-1.tar"))
    assert data.split_sizes == {"train": 18, "validation": 2, "test": 20}


def test_a_saved_spec_serves_new_inputs(shards):
    """A folder of images, without the shards."""
    spec = data_of(shards).data_spec
    data = WebDataset("gone", image_size=25, greyscale=True)
    with pytest.raises(DataError, match="not known yet"):
        data.read_input(shards / "files")
    data.adopt(type(spec).from_dict(spec.to_dict()))
    assert len(data.read_input(shards / "files")) == 40


def test_compressed_shards_are_refused(shards):
    """They cannot be read from any place."""
    plain = (shards / "train-0.tar").read_bytes()
    (shards / "train-0.tar").write_bytes(gzip.compress(plain))
    with pytest.raises(DataError, match=r"train-0\.tar cannot be read as an uncompressed tar"):
        data_of(shards)


@pytest.mark.parametrize("address", ["https://x/{0..9}.tar", "pipe:cat x.tar", "s3://a/b.tar"])
def test_addresses_are_refused(address):
    """A stream has no size, and no place to resume at."""
    with pytest.raises(InvalidValueError, match="is no local file"):
        WebDataset(address)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": b""}, "the record a has no class"),
        ({"d/a.cls": b"1"}, "the record d/a has no image"),
        ({"a.png": b"", "a.cls": b"cat"}, r"a\.cls holds 'cat', which is no class"),
        ({"a.png": b"broken", "a.cls": b"0"}, r"bad\.tar: a\.png cannot be read as an image"),
        ({}, "holds no records"),
    ],
)
def test_records_that_are_not_whole_are_named(tmp_path, files, message):
    """Shard and file."""
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        for name, content in files.items():
            add(tar, name, content)
    with pytest.raises(DataError, match=message):
        data_of(tmp_path, "bad.tar", validation_fraction=0.0, test_fraction=0.0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "a.cls", "b.png", "a.png"], r"a\.png is a second image of the record a"),
        (["d/a.png", "d/a.cls", "d/a.JPG"], r"d/a\.JPG is a second image of the record d/a"),
        (["a.png", "a.cls", "a.cls"], r"a\.cls is a second class of the record a"),
        (["a.png", "a.cls", "a.json", "a.json"], r"a\.json is a second \.json of the record a"),
    ],
)
def test_records_of_one_key_are_named(tmp_path, names, message):
    """Of two, only the last one would be read."""
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        for name in names:
            add(tar, name, b'{"patient": 1}' if name.endswith("json") else b"0")
    with pytest.raises(DataError, match=r"bad\.tar: " + message) as error:
        data_of(tmp_path, "bad.tar", split="group", split_by="patient")
    assert error.value.fix == "give every record a key of its own"


def test_a_class_without_a_name_and_missing_shards_are_refused(shards):
    """The names are listed; a pattern that nothing matches is told."""
    with pytest.raises(DataError, match="a record has the class 1") as error:
        data_of(shards, class_names=["face"])
    assert error.value.known == "0 face"
    with pytest.raises(DataError, match="no file is named"):
        data_of(shards, "gone-*.tar")


def write_divided(path, values, json_of=lambda value: json.dumps({"patient": value}).encode()):
    """Images, classes and fields; ``values`` are in the keys as well."""
    with tarfile.open(path, "w") as tar:
        for i, value in enumerate(values):
            image = io.BytesIO()
            Image.new("L", (8, 8), i).save(image, "png")
            for ending, content in (("png", image.getvalue()), ("cls", b"%d" % (i % 2))):
                add(tar, f"set.1/{i}_{value}.{ending}", content)
            if json_of is not None:
                add(tar, f"set.1/{i}_{value}.json", json_of(value))
    return str(path)


def numbers(records):
    return [int(member.key.removeprefix("set.1/").split("_")[0]) for member in records.paths]


@pytest.mark.parametrize("split_by", ["patient", "_(.*)"])
@pytest.mark.parametrize("way", VALUES)
def test_a_field_or_a_pattern_divides_the_records(tmp_path, way, split_by):
    """A parenthesis makes it a pattern, for the keys."""
    shard = write_divided(tmp_path / "a.tar", VALUES[way])
    data = WebDataset(shard, image_size=8, split=way, split_by=split_by)
    assert positions(data, numbers) == EXPECTED[way]


def test_shards_of_a_split_stay_as_they_are(tmp_path):
    """The rest is divided; a patient on both sides is named."""
    shard = write_divided(tmp_path / "a.tar", VALUES["group"])
    arguments = {"image_size": 8, "split": "group", "split_by": "patient"}
    apart = write_divided(tmp_path / "b.tar", ["x", "y"])
    assert positions(WebDataset(shard, test=apart, **arguments), numbers) == {
        "train": [0, 2, 3, 4, 6, 7, 8, 9],
        "validation": [1, 5],
        "test": [0, 1],
    }
    apart = write_divided(tmp_path / "b.tar", ["x", "h"])
    with pytest.raises(
        DataError, match=r"a\.tar: set\.1/1_h\.json, field 'patient': the group 'h'"
    ):
        WebDataset(shard, test=apart, **arguments).load()


@pytest.mark.parametrize(
    ("split_by", "json_of", "message"),
    [
        ("patient", None, r"a\.tar: the record set\.1/0_a has no \.json, and data\.split_by names"),
        ("patient", lambda _: b"{", r"a\.tar: set\.1/0_a\.json: no JSON"),
        (
            "patient",
            lambda _: b"[" * 99999,
            r"a\.tar: set\.1/0_a\.json: no JSON: maximum",
        ),
        ("patient", lambda _: b"[]", r"set\.1/0_a\.json: list instead of an object"),
        (
            "pateint",
            lambda _: b'{"patient": 1}',
            "no field 'pateint'\n  known: patient\n  fix: ",
        ),
        (
            "patient",
            lambda _: b'{"patient": null}',
            r"0_a\.json, field 'patient': the group is mis",
        ),
        ("_(b)", None, r"a\.tar: set\.1/0_a, data\.split_by '_\(b\)': the group is missing"),
        ("(z)", None, r"'\(z\)' matches none of 2 paths, such as 'set\.1/0_a'"),
    ],
)
def test_records_without_a_group_are_named(tmp_path, split_by, json_of, message):
    """Shard, file and field."""
    shard = write_divided(tmp_path / "a.tar", ["a", "b"], json_of)
    with pytest.raises(DataError, match=message):
        WebDataset(shard, split="group", split_by=split_by).load()


def test_a_pattern_needs_one_group():
    """Before anything is read."""
    with pytest.raises(InvalidValueError, match=r"split_by = '\(a\)\(b\)' has 2 groups"):
        WebDataset("a.tar", split="group", split_by="(a)(b)")
