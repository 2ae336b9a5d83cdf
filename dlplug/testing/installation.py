"""Entry points that nobody finds: in a group that does not exist, or not installed as written.

They are told before anything else is asked. The examples may name such a component, which is none
of the distribution's as far as its metadata tells.
"""

from collections.abc import Iterable
from dataclasses import replace

from dlplug.plugin import Component
from dlplug.plugin.component import HOOKS_KIND
from dlplug.plugin.installed_before import Unseen, unseen_lines
from dlplug.plugin.names import normalised
from dlplug.plugin.spec import HOOK_GROUP, INDEX_GROUP, KINDS, group_problem
from dlplug.testing.verdict import Outcome, Verdict

RULE = "loads"


def lost_entry_points(components: Iterable[Component], distribution: str) -> list[Verdict]:
    """A failure for each of them; empty where all is installed as it is written.

    Args:
        components: Of the distribution, those of unknown groups included.
        distribution: Its name.
    """
    verdicts = [
        Verdict(c.kind, c.id, RULE, Outcome.FAILED, c.reason, c.fix)
        for c in components
        if c.is_problem and not is_in_a_group(c)
    ]
    for unseen in _unseen(distribution):
        for (group, point), said in unseen.differences():
            place = _kind_of(group), f"{unseen.distribution}:{point}"
            verdicts.append(Verdict(*place, RULE, Outcome.FAILED, said, unseen.fix))
    return verdicts


def lost_components(components: Iterable[Component], distribution: str) -> list[Component]:
    """What those entry points are meant to offer: the examples may speak of it.

    In a group that does not exist, it may be of any kind.
    """
    lost = [c for c in components if not is_in_a_group(c)]
    for unseen in _unseen(distribution):
        written = unseen.project.entry_points or {}
        lost += [
            Component(_kind_of(group), name, unseen.distribution, "", written[group, name])
            for group, name in unseen.lines
        ]
    return [
        replace(component, kind=kind)
        for component in lost
        for kind in ([component.kind] if is_in_a_group(component) else KINDS)
    ]


def is_in_a_group(component: Component) -> bool:
    """Whether there is such a group."""
    return group_problem(component.group) is None


def _unseen(distribution: str) -> list[Unseen]:
    name = normalised(distribution)
    return [unseen for unseen in unseen_lines() if unseen.distribution == name]


def _kind_of(group: str) -> str:
    """As of a component; the group itself where none is meant."""
    if group in (HOOK_GROUP, INDEX_GROUP):
        return HOOKS_KIND
    kind = group.removeprefix("dlplug.")
    return kind if kind in KINDS else group
