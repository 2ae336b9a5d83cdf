"""The conformance kit's run over one distribution: every component, every rule."""

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dlplug.config.data_module import seeded
from dlplug.errors import DlplugError, UnknownComponentError, suggestion
from dlplug.plugin import Component, Plugin, Registry
from dlplug.plugin.failure import cause_of
from dlplug.plugin.names import normalised, one_line
from dlplug.testing.example import Example, Examples, examples_of, read_examples
from dlplug.testing.rule import RULES, Broken, DoesNotApply, Rule
from dlplug.testing.rules import __all__ as _families  # noqa: F401 - fills RULES
from dlplug.testing.subject import Subject
from dlplug.testing.verdict import Outcome, Verdict

SEED = 0
ASKED = frozenset(kind for rule in RULES for kind in rule.kinds)
LONGEST_REASON = 500
"""Characters of a reason: PyTorch's own explanations fill screens."""


def check_distribution(
    registry: Registry,
    distribution: str,
    examples: str | Path | None = None,
    kinds: Iterable[str] = (),
) -> list[Verdict]:
    """The verdict of every rule on every component of a distribution.

    Args:
        registry: Finds it, and the built-in components that are trained with it.
        distribution: Its name.
        examples: A file of examples, for a distribution that brings none.
        kinds: Plurals; only these. All when there are none.
    Raises:
        UnknownComponentError: it is not installed, or offers nothing.
        ConfigError: the examples are not of their form.
    """
    components = components_of(registry, distribution)
    found = examples_for(components, examples)
    chosen = [c for c in components if not kinds or c.kind in set(kinds)]
    return list(_verdicts(chosen, registry, found))


def components_of(registry: Registry, distribution: str) -> list[Component]:
    """What a distribution offers, the modules of hooks and the names that they offer included.

    Raises:
        UnknownComponentError: there is no such distribution.
    """
    plugin = plugin_named(registry, distribution)
    registry.load_hooks()
    return [entry for entry in registry.entries() if entry.distribution == plugin.name]


def examples_for(components: Sequence[Component], path: str | Path | None) -> Examples:
    """What the distribution's packages say, and what a file says.

    Raises:
        ConfigError: it is not of its form.
    """
    own = examples_of(components)
    return own if path is None else own | read_examples(Path(path), components)


def plugin_named(registry: Registry, distribution: str) -> Plugin:
    """The installed distribution of that name.

    Raises:
        UnknownComponentError: there is none.
    """
    plugins = {plugin.name: plugin for plugin in registry.plugins()}
    name = normalised(distribution)
    if name not in plugins:
        raise UnknownComponentError(
            f"no plugin {distribution!r} is installed",
            known=", ".join(plugins),
            fix=suggestion(name, plugins) or f"pip install -e {distribution}",
        )
    return plugins[name]


def _verdicts(
    components: Sequence[Component], registry: Registry, examples: Examples
) -> Iterator[Verdict]:
    with tempfile.TemporaryDirectory(prefix="dlplug-check-") as folder:
        for number, component in enumerate(components):
            if component.is_problem and component.kind not in ASKED:
                # A misspelt group, or a rename that leads nowhere.
                place = component.kind, component.id, "loads"
                yield Verdict(*place, Outcome.FAILED, component.reason, component.fix)
                continue
            example = examples.get((component.kind, component.name), Example())
            place = Path(folder) / str(number)
            yield from check_component(Subject(component, registry, example, place))


def check_component(subject: Subject, rules: Sequence[Rule] = RULES) -> Iterator[Verdict]:
    """The verdict of every rule that concerns one component, in order."""
    closed: Rule | None = None
    for rule in rules:
        if subject.kind not in rule.kinds:
            continue
        verdict = _verdict(rule, subject, closed)
        if verdict.outcome is not Outcome.OK and rule.is_gate and closed is None:
            closed = rule
        yield verdict


def _verdict(rule: Rule, subject: Subject, closed: Rule | None) -> Verdict:
    place = subject.kind, subject.component.id, rule.name
    if exemption := subject.example.exempt.get(rule.name):
        return Verdict(*place, Outcome.DOES_NOT_APPLY, f"its authors say: {exemption}")
    if closed is not None:
        return Verdict(*place, Outcome.DOES_NOT_APPLY, f"not asked after {closed.name}")
    subject.folder.mkdir(parents=True, exist_ok=True)
    try:
        with seeded(SEED), warnings.catch_warnings():
            # A component's warnings are for its users, and no verdict.
            warnings.simplefilter("ignore")
            rule.check(subject)
    except DoesNotApply as silence:
        return Verdict(*place, Outcome.DOES_NOT_APPLY, str(silence))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Verdict(*place, Outcome.FAILED, _reason(error), rule.fix)
    return Verdict(*place, Outcome.OK)


def _reason(error: BaseException) -> str:
    if isinstance(error, DlplugError):
        text = f"{error.what}; {error.where}" if error.where else error.what
    else:
        text = str(error) if isinstance(error, Broken) else cause_of(error)
    text = one_line(text)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
