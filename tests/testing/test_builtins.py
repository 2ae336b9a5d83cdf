"""dlplug's own components keep the rules that it asks of others."""

from functools import cache

import pytest

from dlplug.plugin import CORE, KINDS, Registry
from dlplug.plugin.builtins import core_plugin
from dlplug.testing.check import check_distribution
from dlplug.testing.verdict import report_text


@cache
def registry() -> Registry:
    """One for all kinds: what the imports cost is measured once."""
    return Registry.discover()


OFFERED = {component.kind for component in core_plugin().entries}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in OFFERED])
def test_every_built_in_component_keeps_every_rule(kind):
    """One fault names component, rule and reason."""
    verdicts = check_distribution(registry(), CORE, kinds=[kind])
    own = {c.id for c in registry().components(kind) if c.distribution == CORE}
    assert own and {verdict.component for verdict in verdicts} == own
    failures = [verdict for verdict in verdicts if verdict.is_failure]
    assert not failures, report_text(CORE, "", failures)
