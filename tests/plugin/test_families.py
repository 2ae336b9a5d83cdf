"""A large family of names stands as one where names are looked through."""

import json

import pytest

from dlplug.cli import main
from dlplug.cli.candidates import candidates
from dlplug.config.facts_cache import FactsCache
from dlplug.config.schema import config_schema
from dlplug.errors import UnknownComponentError
from dlplug.plugin import Component, Registry
from dlplug.plugin.families import FOLDED_FROM, Family, folded, folded_names
from dlplug.plugin.listing import matching

LARGE = 1300
HOOKS = f"""
from dlplug import hookimpl

@hookimpl
def dlplug_components(kind):
    if kind == "architectures":
        names = [f"zoo.net{{n}}" for n in range({LARGE})] + ["few.net0", "few.net1", "few.net2"]
        return dict.fromkeys([*names, "plain"], "acme_zoo:Net")
"""


def components(*names, offered_by="acme:hooks", kind="losses"):
    return [Component(kind, name, "acme", "1.0", "a:b", offered_by=offered_by) for name in names]


def many(word, count=FOLDED_FROM):
    return [f"{word}.{number}" for number in range(count)]


@pytest.fixture
def zoo(fake_distribution):
    """A plugin with a thousand architectures, loaded once."""
    fake_distribution(
        "acme-zoo",
        entry_points={"dlplug": {"zoo": "acme_zoo_hooks"}},
        modules={
            "acme_zoo_hooks": HOOKS,
            "acme_zoo": "class Net:\n    def __init__(self, width: int = 3): ...",
        },
    )
    Registry.discover().load_hooks()


def test_a_family_is_folded_at_its_size():
    """One name less, and each stands for itself."""
    small, large = components(*many("a", FOLDED_FROM - 1)), components(*many("b"))
    assert folded([*small, *large]) == [*small, Family("b", tuple(large))]
    assert folded(large)[0].pattern == "b.*"


def test_what_is_no_family_is_not_folded():
    """Entry points, names without a dot, other kinds, other modules of hooks."""
    assert len(folded(components(*many("a"), offered_by=""))) == FOLDED_FROM
    assert len(folded(components(*(f"a{n}" for n in range(50))))) == 50
    half = many("a", FOLDED_FROM - 1)
    assert len(folded([*components(*half), *components(*half, kind="metrics")])) == 2 * len(half)
    assert len(folded([*components(*half), *components(*half, offered_by="b:h")])) == 2 * len(half)


def test_folded_names_keep_their_order():
    """The family stands where its first name stood; ids and other names stay."""
    found = components("x", *many("m", 20), "z")
    names = ["acme:q", "x", *many("m", 20), "z"]
    assert folded_names(found, names) == ["acme:q", "x", "m.* (20 names)", "z"]
    assert folded_names(found, ["x", "m.1"]) == ["x", "m.1"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("a.n", ["a.n1", "b.a.n2"]), ("a.*", ["a.n1"]), ("?.n1", ["a.n1"]), ("[b]*", ["b.a.n2"])],
)
def test_a_pattern_or_a_part_selects_names(pattern, names):
    """With a wildcard it is the whole name, else any part of it."""
    assert [c.name for c in matching(components("a.n1", "b.a.n2"), pattern)] == names


def test_the_list_has_one_row_for_a_family(zoo, capsys):
    """With the number and how to see them; a small family and other names have their rows."""
    assert main(["plugins", "list", "--kind", "architecture"]) == 0
    text = capsys.readouterr().out
    (row,) = [line for line in text.splitlines() if "zoo." in line and "plugins list" not in line]
    assert row.split() == ["zoo.*", "acme-zoo", "1.0", "1,300", "names"]
    assert "plugins list --name 'zoo.*'" in text
    assert all(f"\n  {name} " in text for name in ("few.net0", "few.net2", "plain"))
    assert main(["describe", "architecture"]) == 0
    assert "zoo.*" in capsys.readouterr().out


def test_the_names_of_a_family_can_be_listed(zoo, capsys):
    """All with the pattern that the row shows; for a program, always."""
    assert main(["plugins", "list", "--name", "zoo.*"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n  zoo.net") == LARGE and "names of a family" not in text
    assert main(["plugins", "list", "--json", "--kind", "architectures"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["components"]
    assert sum(row["offered_by"] == "acme-zoo:zoo" for row in rows) == LARGE + 4
    assert main(["plugins", "list", "--name", "zo.*"]) == 0
    assert capsys.readouterr().out == "nothing matches\n"


def test_completion_gives_the_first_word_before_the_names(zoo):
    """Behind the dot come all that fit; with a distribution's name, ids."""

    def values(text):
        return [c.value for c in candidates(["fit", "--architecture", text])]

    assert "zoo." in values("") and not [v for v in values("") if v.startswith("zoo.net")]
    assert values("zo") == ["zoo."]
    assert values("zoo.net129") == ["zoo.net129", *(f"zoo.net129{n}" for n in range(10))]
    assert len(values("zoo.")) == LARGE
    assert values("acme-zoo:zoo.net12990") == [] and values("acme-zoo:few.net1") == [
        "acme-zoo:few.net1"
    ]


def test_a_message_names_the_family_once(zoo):
    """What is known fits on a screen, and the nearest name is still found."""
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("architecture", "zoo.nett77")
    assert "did you mean 'zoo.net77'" in str(caught.value)
    assert "zoo.* (1,300 names)" in caught.value.known and "net77" not in caught.value.known


def test_the_schema_has_one_branch_for_a_family(zoo, tmp_path):
    """As long as its members take the same; its size is bounded by the names."""
    cache = FactsCache(tmp_path / "facts.json")
    registry = Registry.discover()
    definitions = config_schema(registry, cache)["$defs"]
    branches = [key for key in definitions if "zoo-zoo" in key]
    assert len(branches) == 1
    named = definitions[branches[0]]["properties"]["name"]["anyOf"]
    assert {"const": "zoo.net77"} in named and {"const": "acme-zoo:zoo.net77"} in named
    find = registry.find
    registry.load_hooks()
    cache.of_component(find("architecture", "zoo.net3"))
    definitions = config_schema(registry, cache)["$defs"]
    branches = {key: definitions[key] for key in definitions if "zoo-zoo" in key}
    assert len(branches) == 2
    known = branches["architecture-acme-zoo-zoo.net3"]
    assert "width" in known["properties"] and known["additionalProperties"] is False
