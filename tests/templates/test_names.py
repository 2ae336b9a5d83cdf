"""The names of a new plugin: one gives all of them, and those that are taken are refused."""

import pytest

from dlplug.errors import InvalidValueError, UnknownKeyError
from dlplug.plugin import Registry
from dlplug.templates.names import LONGEST, checked_names


@pytest.mark.parametrize("written", ["acme-net", "Acme_Net", "ACME.net"])
def test_one_name_gives_all(written):
    """Normalised as package indexes do."""
    names = checked_names("architecture", written, Registry.discover())
    assert (names.kind, names.distribution) == ("architectures", "acme-net")
    assert (names.package, names.class_name) == ("acme_net", "AcmeNet")


@pytest.mark.parametrize(
    ("name", "problem", "free"),
    [
        ("9net", "words of letters and digits", "9net"),
        ("net!", "words of letters and digits", "architecture"),
        ("-net", "words of letters and digits", "architecture"),
        ("../net", "words of letters and digits", "architecture"),
        ("netz-für-alle", "words of letters and digits", "architecture"),
        ("", "words of letters and digits", "architecture"),
        ("a" * (LONGEST + 1), "more than 30 characters", "architecture"),
        ("class", "a word of Python", "class"),
        ("match", "a word of Python", "match"),
        ("torch", "has a module 'torch' already", "torch"),
        ("json", "has a module 'json' already", "json"),
        ("vit", "there is one of that name: vit (dlplug", "vit"),
        ("dlplug", "a plugin of that name is installed", "dlplug"),
    ],
)
def test_bad_names_are_refused(name, problem, free):
    """With what is allowed and a way out."""
    with pytest.raises(InvalidValueError) as caught:
        checked_names("architecture", name, Registry.discover())
    assert problem in caught.value.what
    assert caught.value.fix == f"put your own name before it: acme-{free}"


def test_a_name_of_an_installed_plugin_is_refused(fake_distribution):
    """Its distribution and its component."""
    lines = {"dlplug.losses": {"dicey": "acme_dice:Dice"}}
    fake_distribution("acme-dice", entry_points=lines)
    registry = Registry.discover()
    with pytest.raises(InvalidValueError, match="a plugin of that name is installed"):
        checked_names("loss", "acme_dice", registry)
    with pytest.raises(InvalidValueError, match=r"dicey \(acme-dice 1\.0\)"):
        checked_names("loss", "dicey", registry)
    assert checked_names("callback", "dicey", registry).package == "dicey"


def test_a_name_of_another_distribution_is_refused(fake_distribution):
    """pip would take that one away for the new plugin; its module may be called otherwise."""
    fake_distribution("acme-images", modules={"acmeimg": ""})
    with pytest.raises(InvalidValueError, match="a distribution of that name is installed"):
        checked_names("loss", "acme_images", Registry.discover())


def test_another_spelling_of_a_taken_name_is_refused(fake_distribution):
    """--block could not tell them apart."""
    fake_distribution("acme", entry_points={"dlplug.losses": {"Soft.Dice": "acme_dice:Dice"}})
    with pytest.raises(InvalidValueError, match=r"one of that name: Soft\.Dice \(acme"):
        checked_names("loss", "soft-dice", Registry.discover())


def test_an_unknown_kind_is_refused():
    """With the nearest."""
    with pytest.raises(UnknownKeyError, match="did you mean 'loss'"):
        checked_names("lost", "acme", Registry.discover())
