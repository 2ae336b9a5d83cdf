"""Entry points that nobody finds: in a group that does not exist, or not installed as written.

They are told before anything else is asked. The examples may name such a component, which is none
of the distribution's as far as its metadata tells.
"""

from collections.abc import Iterable

from dlplug.plugin import Component
from dlplug.plugin.installed_before import unseen_lines
from dlplug.plugin.names import normalised
from dlplug.plugin.spec import KINDS, group_problem
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
    name = normalised(distribution)
    for unseen in (unseen for unseen in unseen_lines() if unseen.distribution == name):
        for (group, point), said in unseen.differences():
            kind = group.removeprefix("dlplug.")
            place = kind if kind in KINDS else group, f"{name}:{point}"
            verdicts.append(Verdict(*place, RULE, Outcome.FAILED, said, unseen.fix))
    return verdicts


def is_in_a_group(component: Component) -> bool:
    """Whether there is such a group."""
    return group_problem(component.group) is None
