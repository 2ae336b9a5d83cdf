"""Facts that are kept."""

import json

import pytest

from dlplug.config.facts_cache import FactsCache, core_stamp, facts_or_none, stamp_of
from dlplug.errors import PluginError
from dlplug.plugin import Registry

LINES = {"dlplug.losses": {"acme_dice": "acme_facts:Dice"}}
CODE = '''
class Dice:
    """Overlap."""

    def __init__(self, smooth: float = 1.0):
        pass
'''


@pytest.fixture
def acme(fake_distribution):
    """Installs a version of the loss; returns its component, not loaded yet."""

    def install(version="1.0", code=CODE):
        fake_distribution.forget_modules()
        fake_distribution(
            "acme", version, entry_points=LINES, modules={"acme_facts": code}, folder=version
        )
        return Registry.discover().find("loss", "acme_dice")

    return install


@pytest.fixture
def path(tmp_path):
    return tmp_path / "facts.json"


def test_a_second_process_imports_nothing(acme, path):
    """Facts come from the file, equal to those of the first."""
    cache = FactsCache(path)
    facts = cache.of_component(acme())
    cache.save()
    component = Registry.discover().find("loss", "acme_dice")
    assert FactsCache(path).of_component(component) == facts
    assert component.value is None


def test_another_version_is_read_anew(acme, path):
    """And replaces the old facts."""
    cache = FactsCache(path)
    cache.of_component(acme())
    cache.save()
    component = acme("1.1", CODE.replace("smooth", "eps"))
    cache = FactsCache(path)
    assert cache.remembered("losses", component.id).arguments[0].name == "smooth"
    assert cache.of_component(component).arguments[0].name == "eps"
    cache.save()
    assert len(json.loads(path.read_text())) == 1


def test_an_edited_source_is_read_anew(acme, path, tmp_path):
    """A checkout keeps its version while it is worked on."""
    component = acme()
    before = stamp_of(component)
    file = next((tmp_path / "installed").glob("*/acme_facts.py"))
    file.write_text(CODE + "# more\n")
    assert stamp_of(component) != before


def test_dlplug_s_own_sources_and_foreign_versions_count():
    """The one by number, size and time, the other where a built-in is torch's."""
    from importlib.metadata import version

    stamp = stamp_of(Registry.discover().find("optimizer", "sgd"))
    assert core_stamp() in stamp and version("torch") in stamp


def test_the_trainer_is_remembered(path):
    """Its arguments with their types, without Lightning."""
    cache = FactsCache(path)
    names = [a.name for a in cache.of_trainer()]
    cache.save()
    assert "max_epochs" in names
    assert [a.name for a in FactsCache(path).remembered_trainer()] == names


def test_what_cannot_be_loaded_has_no_facts(fake_distribution, path):
    """The error stands in the component; asked for by name, it is raised."""
    fake_distribution("acme", entry_points=LINES, modules={"acme_facts": "import nothing_here"})
    component = Registry.discover().find("loss", "acme_dice")
    assert facts_or_none(FactsCache(path), component) is None
    with pytest.raises(PluginError):
        FactsCache(path).of_component(component)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"losses acme:acme_dice": {"stamp": 1}}', "\x00"]
)
def test_a_damaged_file_is_no_error(acme, path, content):
    """It is written anew."""
    path.write_text(content)
    cache = FactsCache(path)
    assert cache.remembered("losses", "acme:acme_dice") is None
    assert cache.of_component(acme()).arguments[0].name == "smooth"
    cache.save()
    assert FactsCache(path).remembered("losses", "acme:acme_dice") is not None


def test_without_a_place_nothing_is_kept(acme):
    """A user without a home folder."""
    cache = FactsCache(None)
    assert cache.of_component(acme()).arguments
    cache.save()
