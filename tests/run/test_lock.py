"""plugins.lock: which code a run consists of."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path

import pytest

import dlplug
from dlplug.losses import focal
from dlplug.plugin import Registry
from dlplug.run.lock import lock_of, lock_text, read_lock
from tests.plugin.fakes import fake_distribution, private_memory

__all__ = ["fake_distribution", "private_memory"]


def found(*names):
    registry = Registry.discover()
    return [registry.find(kind, name) for kind, name in names]


@pytest.fixture
def acme(fake_distribution):
    """A loss of a distribution that requires another one; returns the folder of both."""
    fake_distribution("acme-math", "3.1", modules={"acme_math": "X = 1\n"})
    return fake_distribution(
        "acme-losses",
        "2.3",
        requires=["acme-math>=3"],
        entry_points={"dlplug.losses": {"acme_dice": "acme_losses.dice:Dice"}},
        modules={"acme_losses.dice": "class Dice: ...\n"},
    )


def install_in_place(site, name="acme_losses-2.3.dist-info"):
    (site / name / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": ""}')


def test_a_component_is_recorded_with_the_hash_of_its_file():
    """Id, kind, entry point and file; nothing is imported for it."""
    (entry,) = lock_of(found(("losses", "focal")))["components"]
    assert entry == {
        "kind": "losses",
        "id": "dlplug:focal",
        "entry_point": "dlplug.losses.focal:FocalLoss",
        "sha256": hashlib.sha256(Path(focal.__file__).read_bytes()).hexdigest(),
    }


def test_versions_of_all_that_is_required_are_recorded(acme):
    """Python, dlplug, torch, the plugin, and what the plugin requires in turn."""
    lock = lock_of(found(("losses", "acme_dice")))
    assert lock["python"] == platform.python_version()
    assert lock["distributions"]["torch"] == {"version": version("torch")}
    assert lock["distributions"]["acme-losses"] == {"version": "2.3"}
    assert lock["distributions"]["acme-math"] == {"version": "3.1"}
    assert "sha256" in lock["distributions"]["dlplug"]  # this is a checkout
    assert "acme-math" not in lock_of(found(("losses", "focal")))["distributions"]


def test_the_version_of_dlplug_is_that_of_its_code(monkeypatch):
    """Not of a build that wrote its metadata into the checkout."""
    monkeypatch.setattr(dlplug, "__version__", "0.0.7")
    assert lock_of([])["distributions"]["dlplug"]["version"] == "0.0.7"


def test_what_a_component_requires_beyond_its_distribution_is_recorded(fake_distribution):
    """The extra that an entry point names, and the library of an optional built-in component."""
    fake_distribution(
        "acme-fast", "0.4", requires=['acme-gpu; extra == "gpu"'], modules={"acme_fast": ""}
    )
    fake_distribution("acme-gpu", "0.5", modules={"acme_gpu": ""})
    fake_distribution(
        "acme-losses",
        requires=['acme-fast[gpu]; extra == "fast"'],
        extras=["fast"],
        entry_points={"dlplug.losses": {"plain": "acme:Plain", "quick": "acme:Quick [fast]"}},
        modules={"acme": "class Plain: ...\nclass Quick: ...\n"},
    )
    assert "acme-fast" not in lock_of(found(("losses", "plain")))["distributions"]
    assert lock_of(found(("losses", "quick")))["distributions"]["acme-fast"]["version"] == "0.4"
    assert lock_of(found(("losses", "quick")))["distributions"]["acme-gpu"]["version"] == "0.5"
    loggers = {c.name: c for c in Registry.discover().components("loggers")}
    assert "tensorboard" in loggers["tensorboard"].requires


def test_code_that_is_installed_in_place_is_hashed(acme):
    """All its Python files count, names included; other files do not."""
    components = found(("losses", "acme_dice"))
    install_in_place(acme)

    def digest():
        return lock_of(components)["distributions"]["acme-losses"]["sha256"]

    first = digest()
    (acme / "acme_losses" / "notes.txt").write_text("x")
    (acme / "acme_losses" / "__pycache__").mkdir()
    (acme / "acme_losses" / "__pycache__" / "dice.py").write_text("x")
    assert digest() == first
    (acme / "acme_losses" / "helper.py").write_text("X = 1")
    second = digest()
    (acme / "acme_losses" / "helper.py").rename(acme / "acme_losses" / "other.py")
    assert len({first, second, digest()}) == 3


def test_what_nobody_installed_is_hashed(tmp_path, monkeypatch):
    """A class path into a module of one's own leads to that file."""
    (tmp_path / "mine.py").write_text("class Loss: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    (component,) = found(("losses", "focal"))
    component.distribution, component.version, component.target = "mine", "unknown", "mine:Loss"
    code = lock_of([component])["distributions"]["mine"]
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    assert code == {"version": "unknown", "sha256": digest}


def test_order_and_repetition_do_not_matter():
    """Equal code gives equal text."""
    one = found(("losses", "focal"), ("metrics", "f1"))
    two = found(("metrics", "f1"), ("losses", "focal"), ("losses", "focal"))
    assert lock_text(lock_of(one)) == lock_text(lock_of(two))


def test_the_text_is_read_back():
    """As JSON, by us and by other programs."""
    lock = lock_of(found(("losses", "focal")))
    assert read_lock(lock_text(lock)) == json.loads(lock_text(lock)) == lock


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"python": 3},
        {"distributions": {"torch": {"version": 2}}},
        {"components": [{"kind": "losses", "id": 7, "entry_point": "a:b"}]},
        {"components": [{"id": "a:b"}]},
        {"components": None},
        {"distributions": []},
    ],
)
def test_what_is_no_lock_is_refused(change):
    """It may come from anywhere."""
    lock = lock_of(found(("losses", "focal"))) | change
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        read_lock(json.dumps(lock))
