"""plugins.lock: which code a run consists of."""

import hashlib
import json
from pathlib import Path

import pytest

from dlplug.losses import focal
from dlplug.plugin import Registry
from dlplug.run.lock import file_hash, lock_difference, lock_entries, lock_text


def loaded(*names):
    registry = Registry.discover()
    components = [registry.find(kind, name) for kind, name in names]
    for component in components:
        component.load()
    return components


def test_an_entry_says_where_the_code_came_from():
    """Id, kind, distribution, version, entry point and the hash of the file."""
    (entry,) = lock_entries(loaded(("losses", "focal")))
    assert entry["id"] == "dlplug:focal" and entry["kind"] == "losses"
    assert entry["entry_point"] == "dlplug.losses.focal:FocalLoss"
    digest = hashlib.sha256(Path(focal.__file__).read_bytes()).hexdigest()
    assert entry["sha256"] == digest
    assert entry["distribution"] == "dlplug" and entry["version"]


def test_order_and_repetition_do_not_matter():
    """Equal code gives equal text."""
    one = loaded(("losses", "focal"), ("metrics", "f1"))
    two = loaded(("metrics", "f1"), ("losses", "focal"), ("losses", "focal"))
    assert lock_text(lock_entries(one)) == lock_text(lock_entries(two))


def test_a_difference_is_put_into_words():
    """Which component differs, and in what."""
    entries = lock_entries(loaded(("losses", "focal")))
    text = lock_text(entries)
    assert lock_difference(text, text) is None
    changed = [entries[0] | {"version": "9"}]
    assert "dlplug:focal losses: version is" in lock_difference(text, lock_text(changed))
    assert "one side only" in lock_difference(text, lock_text([]))


def test_a_built_in_module_has_no_hash():
    """No file, no hash."""
    assert file_hash("sys") is None
    assert file_hash("no.such.module") is None


def test_the_text_is_json():
    """Other programs can read it."""
    assert json.loads(lock_text([{"id": "a:b"}])) == [{"id": "a:b"}]


@pytest.mark.parametrize("text", ["!!python/object", "[1]", '[{"id": 3}]', "7"])
def test_a_lock_that_cannot_be_read_is_a_difference(text):
    """It may come from anywhere; a run goes on all the same."""
    assert lock_difference(text, lock_text([])) == "plugins.lock cannot be read"
