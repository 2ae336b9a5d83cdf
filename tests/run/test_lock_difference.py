"""What differs between two locks, in words."""

from pathlib import Path

import pytest

from dlplug.errors import RunError
from dlplug.plugin import Registry
from dlplug.run.lock import lock_text
from dlplug.run.lock_difference import (
    UNREADABLE,
    differences,
    differences_from_text,
    joined,
    require_lock,
)
from tests.plugin.fakes import fake_distribution, private_memory

__all__ = ["fake_distribution", "private_memory"]

DICE = {"kind": "losses", "id": "acme:dice", "entry_point": "acme:Dice", "sha256": "aa" * 32}
LOCK = {
    "format": 2,
    "python": "3.11.9",
    "distributions": {"acme": {"version": "1.0"}, "torch": {"version": "2.12.0"}},
    "components": [DICE],
}


def changed(**parts):
    return LOCK | parts


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        (changed(), []),
        (changed(python="3.12.1"), ["Python: version 3.11.9 in the lock, 3.12.1 here"]),
        (
            changed(distributions=LOCK["distributions"] | {"torch": {"version": "2.13.0"}}),
            ["torch: version 2.12.0 in the lock, 2.13.0 here"],
        ),
        (
            changed(
                distributions=LOCK["distributions"] | {"acme": {"version": "1.0", "sha256": "b"}}
            ),
            ["acme: sha256 unknown in the lock, b here"],
        ),
        (
            changed(distributions={"acme": {"version": "1.0"}}),
            ["torch: in the lock, not here"],
        ),
        (
            changed(components=[DICE | {"sha256": "bb" * 32, "entry_point": "acme:Two"}]),
            [
                "acme:dice (losses): entry point acme:Dice in the lock, acme:Two here",
                "acme:dice (losses): file aaaaaaaaaaaa in the lock, bbbbbbbbbbbb here",
            ],
        ),
        (
            changed(components=[DICE, DICE | {"kind": "metrics"}]),
            ["acme:dice (metrics): here, not in the lock"],
        ),
    ],
)
def test_each_difference_is_put_into_words(ours, told):
    """What differs, and what each side has."""
    assert differences(LOCK, ours) == told


def test_a_lock_may_hold_more_than_is_used():
    """A lock of everything installed serves every config; what is used must stand in it."""
    ours = changed(distributions={"acme": {"version": "1.0"}}, components=[])
    assert differences(LOCK, ours, is_part=True) == []
    assert differences(ours, LOCK, is_part=True) == [
        "torch: here, not in the lock",
        "acme:dice (losses): here, not in the lock",
    ]


def test_renamed_components_are_the_same(fake_distribution):
    """An older lock calls them by their old names."""
    fake_distribution(
        "acme",
        entry_points={
            "dlplug.losses": {"dice": "acme:Dice"},
            "dlplug.renamed": {"losses.d": "dice"},
        },
        modules={"acme": "class Dice: ..."},
    )
    old = changed(components=[DICE | {"id": "acme:d"}])
    assert differences(old, LOCK) != []
    assert differences(old, LOCK, renames=Registry.discover().renames) == []


@pytest.mark.parametrize("text", ["!!python/object", "[1]", '[{"id": 3}]', "7", "{}", "[" * 9999])
def test_a_lock_that_cannot_be_read_is_a_difference(text):
    """It may come from anywhere; a run goes on all the same."""
    assert differences_from_text(text, LOCK) == [UNREADABLE]


def test_many_differences_are_counted():
    """The first twenty are told, and how many more there are."""
    assert joined(f"d{i}" for i in range(20)).endswith("; d19")
    assert joined(f"d{i}" for i in range(23)).endswith("; d19; and 3 more")


def test_code_that_is_not_locked_is_refused(tmp_path):
    """One error that names each difference, the file and the process."""
    path = tmp_path / "plugins.lock"
    path.write_text(lock_text(LOCK))
    require_lock(path, LOCK, is_part=False)
    ours = changed(python="3.12.1", distributions={"acme": {"version": "1.1"}})
    with pytest.raises(RunError) as caught:
        require_lock(path, ours, is_part=True, who="process 3")
    assert caught.value.what == (
        f"the code is not what {path} says: Python: version 3.11.9 in {path}, 3.12.1 here;"
        f" acme: version 1.0 in {path}, 1.1 here"
    )
    assert caught.value.where == f"{path}, process 3" and "plugins lock" in caught.value.fix


def test_a_missing_lock_is_an_error(tmp_path, monkeypatch):
    """With its whole path and the command that writes one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="No such file") as caught:
        require_lock(Path("plugins.lock"), LOCK, is_part=True)
    assert caught.value.where == str(tmp_path / "plugins.lock")
    assert "plugins lock --config FILE" in caught.value.fix
