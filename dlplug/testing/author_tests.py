"""The rules as tests, for an author's own test suite: one line of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dlplug.plugin import Component, Registry
from dlplug.plugin.names import normalised
from dlplug.testing.check import (
    check_component,
    components_of,
    examples_for,
    require_answers,
)
from dlplug.testing.example import Example
from dlplug.testing.installation import lost_entry_points
from dlplug.testing.sampling import sampled
from dlplug.testing.subject import Subject
from dlplug.testing.verdict import report_text


def conformance(distribution: str, examples: str | Path | None = None) -> Callable:
    """A test for each component of an installed distribution, all of whose rules must hold.

    Of a family of many names, those that the examples name, or three.

    Args:
        distribution: Its name; ``pip install -e .`` makes it known.
        examples: A file of examples, where the package brings none.
    Returns:
        A parametrised test; while the distribution is not installed, one that is skipped.
    Raises:
        ConfigError: the examples are not of their form.
    """
    registry = Registry.discover()
    if normalised(distribution) not in [plugin.name for plugin in registry.plugins()]:
        return _skipped(f"{distribution} is not installed: pip install --no-build-isolation -e .")
    components = components_of(registry, distribution)
    if lost := lost_entry_points(components, distribution):
        return _failing(report_text(distribution, components[0].version, lost))
    known = examples_for(components, examples)
    components, _ = sampled(components, known)

    @pytest.mark.parametrize("component", components, ids=lambda c: f"{c.kind}-{c.name}")
    def test_component(component: Component, tmp_path: Path):
        """Every rule of dlplug's conformance kit holds."""
        example = known.get((component.kind, component.name), Example())
        verdicts = list(check_component(Subject(component, registry, example, tmp_path)))
        require_answers(verdicts, [component])
        failures = [verdict for verdict in verdicts if verdict.is_failure]
        if failures:
            pytest.fail(report_text(distribution, component.version, failures), pytrace=False)

    return test_component


def _failing(report: str) -> Callable:
    def test_component():
        """Every entry point is installed as it is written."""
        pytest.fail(report, pytrace=False)

    return test_component


def _skipped(reason: str) -> Callable:
    @pytest.mark.skip(reason=reason)
    def test_component():
        """Every rule of dlplug's conformance kit holds."""

    return test_component
