"""Where code lies, and its hashes, without importing it."""

import hashlib
import sys
from importlib import metadata

import pytest

from dlplug.plugin import sources


@pytest.fixture
def site(fake_distribution):
    """acme has a package, a namespace package shared with others, and a module beside them."""
    site = fake_distribution(
        "acme-vision",
        entry_points={"dlplug.losses": {"one": "acme_vision.net:One", "two": "shared.acme.b:Two"}},
        modules={"acme_vision.net": "raise SystemExit", "single": "X = 1"},
    )
    (site / "shared" / "acme").mkdir(parents=True)
    (site / "shared" / "acme" / "__init__.py").touch()
    (site / "shared" / "acme" / "b.py").write_text("raise SystemExit")
    return site


def test_a_file_is_found_without_an_import(site):
    """Of modules, packages, namespace packages; none of what has no file."""
    assert sources.source_file("acme_vision.net") == site / "acme_vision" / "net.py"
    assert sources.source_file("acme_vision") == site / "acme_vision" / "__init__.py"
    assert sources.source_file("shared.acme.b") == site / "shared" / "acme" / "b.py"
    assert sources.source_file("shared.acme") == site / "shared" / "acme" / "__init__.py"
    assert sources.source_file("single") == site / "single.py"
    nowhere = ("acme_vision.no", "no_such_package.x", "sys", "single.x", "shared", "")
    assert [name for name in nowhere if sources.source_file(name)] == []
    assert not {"acme_vision", "acme_vision.net", "shared", "single"} & sys.modules.keys()


def test_a_compiled_module_has_a_file(site):
    """Its name holds the version of Python."""
    (site / "acme_vision" / "fast.cpython-311-x86_64-linux-gnu.so").touch()
    assert sources.source_file("acme_vision.fast").name.startswith("fast.cpython")


def test_a_shared_package_is_told_apart(site):
    """Two levels belong to one distribution where the first is everybody's."""
    assert sources.package_of("acme_vision.net") == "acme_vision"
    assert sources.package_of("shared.acme.b") == "shared.acme"
    assert sources.package_of("single") == "single"
    assert sources.package_of("no_such_package.x") == "no_such_package"


def test_a_package_is_hashed_with_all_its_modules(site):
    """And a single module by itself."""
    single = hashlib.sha256((site / "single.py").read_bytes()).hexdigest()
    assert sources.package_hash("single") == single
    first = sources.package_hash("acme_vision")
    (site / "acme_vision" / "net.py").write_text("X = 2")
    assert sources.package_hash("acme_vision") != first
    assert sources.package_hash("no_such_package") is None


def test_the_packages_of_a_distribution_are_known(site):
    """By top_level.txt, by its entry points, or by its name."""
    found = metadata.distribution("acme-vision")
    assert sources.packages_of(found) == ["acme_vision", "shared.acme"]
    info = site / "acme_vision-1.0.dist-info"
    (info / "top_level.txt").write_text("acme_vision\nsingle\n")
    assert sources.packages_of(found) == ["acme_vision", "single"]
    (info / "top_level.txt").unlink()
    (info / "entry_points.txt").unlink()
    assert sources.packages_of(found) == ["acme_vision"]


@pytest.mark.parametrize(("form", "expected"), [("dist-info", True), ("egg-info", False)])
def test_a_checkout_is_not_from_an_index(fake_distribution, form, expected):
    """An egg-info beside the code says that it may be worked on."""
    fake_distribution("acme-other", form=form)
    assert sources.is_from_index(metadata.distribution("acme-other")) is expected


def test_what_was_installed_from_a_folder_is_not_from_an_index(site):
    """Its version may stay the same while its code changes (PEP 610)."""
    found = metadata.distribution("acme-vision")
    assert sources.is_from_index(found)
    path = site / "acme_vision-1.0.dist-info" / "direct_url.json"
    path.write_text('{"url": "file:///src/acme", "dir_info": {}}')
    assert not sources.is_from_index(found)
