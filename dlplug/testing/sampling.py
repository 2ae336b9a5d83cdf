"""Which components of a large family stand for all: nobody waits for a thousand trainings."""

from collections.abc import Iterable, Sequence

from dlplug.plugin import Component
from dlplug.plugin.families import Family, folded
from dlplug.testing.example import Examples
from dlplug.testing.verdict import Outcome, Verdict

SAMPLED_FROM = 40
"""Names from which a family is sampled."""
SAMPLE = 3
"""Components of a family of which the examples name none: the first, the last, one between."""


def sampled(
    components: Iterable[Component], examples: Examples
) -> tuple[list[Component], list[Verdict]]:
    """The components that are checked, and what is said of the others.

    Args:
        components: Of one distribution.
        examples: Those that it names of a large family are the sample.
    """
    chosen: list[Component] = []
    silent: list[Verdict] = []
    for item in folded(components):
        if not isinstance(item, Family):
            chosen.append(item)
        elif len(item.members) < SAMPLED_FROM:
            chosen += item.members
        else:
            sample = _sample(item.members, examples)
            chosen += sample
            silent.append(_silence(item, len(sample)))
    return chosen, silent


def _sample(members: Sequence[Component], examples: Examples) -> list[Component]:
    named = [c for c in members if (c.kind, c.name) in examples]
    last = len(members) - 1
    return named or [members[last * place // (SAMPLE - 1)] for place in range(SAMPLE)]


def _silence(family: Family, asked: int) -> Verdict:
    first, count = family.members[0], len(family.members)
    return Verdict(
        first.kind,
        f"{first.distribution}:{family.pattern}",
        "all",
        Outcome.DOES_NOT_APPLY,
        f"{asked} of {count:,} names stand for all; others are asked once dlplug_examples.yaml"
        " names them",
    )
