"""A large family is represented by a few of its names."""

import pytest

from dlplug.plugin import Component
from dlplug.testing.example import Example
from dlplug.testing.sampling import SAMPLED_FROM, sampled
from dlplug.testing.verdict import Outcome


def family(count, offered_by="acme:hooks"):
    names = [f"acme.n{number}" for number in range(count)]
    return [Component("losses", n, "acme", "1.0", "a:b", offered_by=offered_by) for n in names]


@pytest.mark.parametrize("members", [family(SAMPLED_FROM - 1), family(90, offered_by="")])
def test_what_is_small_or_named_by_lines_is_checked_whole(members):
    """Nothing is left out, and nothing is said."""
    assert sampled(members, {}) == (members, [])


@pytest.mark.parametrize(("count", "numbers"), [(1371, [0, 685, 1370]), (40, [0, 19, 39])])
def test_first_last_and_one_between_stand_for_a_large_family(count, numbers):
    """The others are told, with their number."""
    chosen, (silence,) = sampled(family(count), {})
    assert [c.name for c in chosen] == [f"acme.n{number}" for number in numbers]
    assert (silence.component, silence.outcome) == ("acme:acme.*", Outcome.DOES_NOT_APPLY)
    assert silence.reason.startswith(f"3 of {count:,} names stand for all")


def test_the_examples_choose_the_sample():
    """Their names and no others of the family; examples of another kind do not count."""
    examples = {("losses", "acme.n7"): Example(), ("metrics", "acme.n8"): Example()}
    chosen, (silence,) = sampled(family(50), examples)
    assert [c.name for c in chosen] == ["acme.n7"] and silence.reason.startswith("1 of 50")
