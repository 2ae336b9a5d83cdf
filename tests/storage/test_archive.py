"""The form of torch's archives: what torch never writes is refused by the directory alone."""

import zipfile

import pytest
import torch

from dlplug.storage.archive import malformation


@pytest.fixture
def path(tmp_path):
    """A good archive."""
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"w": torch.arange(20.0)}}, path)
    return path


def add(path, name, content=b"", how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "a", how) as file:
        file.writestr(name, content)


def test_what_torch_writes_is_well_formed(path):
    """With all the parts that it has."""
    assert malformation(path) is None


@pytest.mark.parametrize(
    ("name", "how", "text"),
    [
        ("data.pkl", zipfile.ZIP_STORED, "its parts do not stand in one folder"),
        ("../x/data.pkl", zipfile.ZIP_STORED, "its parts do not stand in one folder"),
        ("x/../data.pkl", zipfile.ZIP_STORED, "its parts do not stand in one folder"),
        ("x/data/9", zipfile.ZIP_DEFLATED, "its part x/data/9 is compressed, which torch never"),
    ],
)
def test_other_forms_are_named(path, name, how, text):
    """Parts elsewhere, and parts that could be larger than the file."""
    add(path, name, bytes(1000), how)
    assert malformation(path).startswith(text)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_part_that_is_there_twice_is_named(path):
    """Of which each reader takes another one."""
    add(path, "x/data.pkl")
    assert malformation(path) == "it has two parts x/data.pkl"


def test_parts_that_overlap_are_refused(path):
    """A directory that names the same bytes again and again is larger than the file."""
    with zipfile.ZipFile(path, "a") as file:
        part = next(p for p in file.infolist() if p.filename.endswith("data/0"))
        for number in range(200):
            copy = zipfile.ZipInfo(f"x/data/{100 + number}")
            for field in ("header_offset", "CRC", "file_size", "compress_size", "flag_bits"):
                setattr(copy, field, getattr(part, field))
            copy.file_size = copy.compress_size = part.file_size * 20
            file.filelist.append(copy)
        file._didModify = True
    assert malformation(path) == "its parts overlap"


def test_other_files_are_no_archives(tmp_path):
    """Whatever is in them."""
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"cposix\nsystem\n.")
    assert malformation(path).startswith("it is no archive of torch: ")
