"""Which installed copy of a distribution counts."""

import importlib
from importlib import metadata

import pytest

from dlplug.plugin.distributions import find_plugins, is_installed
from dlplug.plugin.plugin import read_plugin

LINES = {"dlplug.losses": {"dice": "acme_copy:Dice"}}


def find(name):
    return next((found for found in find_plugins() if found.name == name), None)


def test_only_distributions_that_concern_dlplug_are_found(fake_distribution):
    """A distribution with other entry points, or none, is no plugin."""
    fake_distribution("acme-copy", entry_points=LINES)
    fake_distribution("acme-tool", entry_points={"console_scripts": {"dlplug-tool": "a:b"}})
    fake_distribution("acme-plain")
    names = [found.name for found in find_plugins()]
    assert "acme-copy" in names
    assert not {"acme-tool", "acme-plain"} & set(names)


def test_the_metadata_is_read(fake_distribution):
    """Version, summary, requirements, extras and folder come from the metadata."""
    site = fake_distribution(
        "Acme_Copy",
        "2.3",
        entry_points=LINES,
        requires=["torch>=2", "onnx; extra == 'onnx'"],
        extras=["onnx"],
        summary="Losses of Acme.",
    )
    found = find("acme-copy")
    assert (found.version, found.summary, found.folder) == ("2.3", "Losses of Acme.", str(site))
    assert (found.requires, found.extras) == (("torch>=2", "onnx; extra == 'onnx'"), ("onnx",))
    assert [line.name for line in found.lines] == ["dice"]


def test_a_stale_egg_info_behind_site_packages_is_ignored(fake_distribution):
    """The copy whose folder comes first on sys.path counts; the other one is noted."""
    stale = fake_distribution(
        "acme-copy", "0.9", entry_points=LINES, folder="checkout", form="egg-info"
    )
    site = fake_distribution("acme-copy", "1.0", entry_points=LINES)
    found = find("acme-copy")
    assert (found.version, found.form) == ("1.0", "dist-info")
    assert read_plugin(found, lambda name: True).warnings == [
        f"also found as 0.9 in {stale} (egg-info), ignored: {site} comes first on sys.path; "
        "reinstall acme-copy, or delete the stale egg-info or dist-info"
    ]


def test_a_checkout_that_comes_first_wins_with_its_egg_info(fake_distribution):
    """In an editable checkout the modules of the checkout are imported, so its metadata counts."""
    site = fake_distribution("acme-copy", "1.0", entry_points=LINES)
    fake_distribution("acme-copy", "1.1", entry_points=LINES, folder="checkout", form="egg-info")
    found = find("acme-copy")
    assert (found.version, found.form) == ("1.1", "egg-info")
    assert [(copy.version, copy.folder) for copy in found.others] == [("1.0", str(site))]


def test_identical_copies_are_noted_without_a_warning(fake_distribution):
    """An editable install whose egg-info is up to date asks nobody to act."""
    fake_distribution("acme-copy", entry_points=LINES)
    fake_distribution("acme-copy", entry_points=LINES, folder="checkout", form="egg-info")
    plugin = read_plugin(find("acme-copy"), lambda name: True)
    assert plugin.warnings == []
    assert plugin.notes[0].startswith("also found as 1.0 in ")


def test_a_first_copy_without_entry_points_hides_the_second_visibly(fake_distribution):
    """A stale copy from before the entry points were written counts, and the warning tells it."""
    fake_distribution("acme-copy", "1.0", entry_points=LINES)
    fake_distribution("acme-copy", "0.1", folder="checkout", form="egg-info")
    found = find("acme-copy")
    assert (found.version, found.lines) == ("0.1", [])
    assert "also found as 1.0" in read_plugin(found, lambda name: True).warnings[0]


def test_in_one_folder_the_higher_version_wins(fake_distribution):
    """An interrupted upgrade leaves two; the listing order of the file system plays no role."""
    for version in ("1.9", "1.10", "1.2"):
        fake_distribution("acme-copy", version, entry_points=LINES)
    found = find("acme-copy")
    assert [found.version, *(copy.version for copy in found.others)] == ["1.10", "1.9", "1.2"]


def test_a_folder_that_is_twice_on_the_path_holds_one_copy(fake_distribution, monkeypatch):
    """The same folder under two spellings is the same copy."""
    site = fake_distribution("acme-copy", entry_points=LINES)
    link = site.with_name("link")
    link.symlink_to(site)
    monkeypatch.syspath_prepend(link)
    assert find("acme-copy").others == []


def test_an_editable_install_is_found(fake_distribution):
    """Metadata in site-packages and modules in a checkout make one plugin that loads."""
    fake_distribution("acme-copy", entry_points=LINES)
    fake_distribution.root.joinpath("src").mkdir()
    source = fake_distribution.root / "src" / "acme_copy.py"
    source.write_text("class Dice: pass")
    fake_distribution._monkeypatch.syspath_prepend(source.parent)
    importlib.invalidate_caches()
    (entry,) = read_plugin(find("acme-copy"), is_installed).entries
    assert entry.load().__module__ == "acme_copy"


def test_unreadable_entry_points_are_a_problem_of_their_distribution(fake_distribution):
    """Bytes that are no UTF-8 make one failed plugin, and the others are found."""
    site = fake_distribution("acme-bytes", entry_points=LINES)
    (site / "acme_bytes-1.0.dist-info" / "entry_points.txt").write_bytes(b"[dlplug.losses]\n\xff")
    fake_distribution("acme-copy", entry_points=LINES)
    assert find("acme-copy").problem is None
    assert find("acme-bytes").problem.startswith("its metadata cannot be read: UnicodeDecodeError")


def test_a_half_removed_distribution_is_named_after_its_folder(fake_distribution):
    """Without METADATA the name comes from the folder and the version is unknown."""
    site = fake_distribution("acme-copy", entry_points=LINES)
    (site / "acme_copy-1.0.dist-info" / "METADATA").unlink()
    assert (find("acme-copy").version, find("acme-copy").lines[0].name) == ("?", "dice")


def test_distributions_can_be_given(fake_distribution, tmp_path):
    """Instead of sys.path a list of distributions is searched."""
    site = fake_distribution("acme-copy", entry_points=LINES)
    fake_distribution("acme-other", entry_points=LINES, folder="elsewhere")
    found = find_plugins(metadata.distributions(path=[str(site)]))
    assert [one.name for one in found] == ["acme-copy"]


@pytest.mark.parametrize(
    ("name", "expected"), [("pytest", True), ("PyTest", True), ("dlplug", True), ("no-such", False)]
)
def test_presence_is_asked_by_name(name, expected):
    """Any spelling of a name will do; dlplug is there even where it is not installed."""
    assert is_installed(name) is expected
