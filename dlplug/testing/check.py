"""The conformance kit's run over one distribution: every component, every rule."""

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dlplug.config.data_module import seeded
from dlplug.errors import ConfigError, DlplugError, PluginError, UnknownComponentError
from dlplug.plugin import Component, Plugin, Registry
from dlplug.plugin.absent import absent_fix
from dlplug.plugin.failure import cause_of
from dlplug.plugin.names import normalised, one_line
from dlplug.testing.example import Example, Examples, examples_of, read_examples
from dlplug.testing.installation import is_in_a_group, lost_components, lost_entry_points
from dlplug.testing.rule import Broken, DoesNotApply, Rule, all_rules
from dlplug.testing.sampling import sampled
from dlplug.testing.subject import Subject
from dlplug.testing.verdict import Outcome, Verdict

SEED = 0
LONGEST_REASON = 500
"""Characters of a reason: PyTorch's own explanations fill screens."""


def check_distribution(
    registry: Registry,
    distribution: str,
    examples: str | Path | None = None,
    kinds: Iterable[str] = (),
) -> list[Verdict]:
    """The verdict of every rule on every component of a distribution; of a large family, on a few.

    Args:
        registry: Finds it, and the built-in components that are trained with it.
        distribution: Its name.
        examples: A file of examples, for a distribution that brings none.
        kinds: Plurals; only these. All when there are none.
    Raises:
        UnknownComponentError: it is not installed, or offers nothing of these kinds.
        PluginError: no rule could be asked, since all that it offers is disabled or exempt.
        ConfigError: the examples are not of their form.
    """
    kinds = sorted(kinds)
    components = components_of(registry, distribution)
    lost = lost_entry_points(components, distribution)
    meant = lost_components(components, distribution) if lost else []
    lost = [verdict for verdict in lost if not kinds or verdict.kind in kinds]
    try:
        found = examples_for([*components, *meant], examples)
    except ConfigError as error:
        if not lost:
            raise
        place = "examples", normalised(distribution), "loads"
        return [*lost, Verdict(*place, Outcome.FAILED, _reason(error), error.fix)]
    chosen, silent = sampled((c for c in components if not kinds or c.kind in kinds), found)
    verdicts = [*lost, *_verdicts(filter(is_in_a_group, chosen), registry, found), *silent]
    if not verdicts:
        offered = sorted({component.kind for component in components})
        raise UnknownComponentError(
            f"{distribution} offers {' and '.join(f'no {kind}' for kind in kinds) or 'nothing'}",
            known=", ".join(offered) or "nothing",
            fix=f"python -m dlplug plugins info {distribution} shows what it has",
        )
    require_answers(verdicts, chosen)
    return verdicts


def require_answers(verdicts: Sequence[Verdict], components: Sequence[Component]) -> None:
    """Refuse verdicts that prove nothing, which would look like success.

    Raises:
        PluginError: there are some, and each says that a rule was not asked.
    """
    if not verdicts or any(verdict.outcome is not Outcome.DOES_NOT_APPLY for verdict in verdicts):
        return
    reasons = {verdict.component: verdict.reason for verdict in reversed(verdicts)}
    told = "; ".join(f"{name}: {reason}" for name, reason in reversed(reasons.items()))
    raise PluginError(
        f"nothing could be checked: {told}",
        fix=next((component.fix for component in components if component.fix), None),
    )


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
            fix=absent_fix(distribution, plugins),
        )
    return plugins[name]


def _verdicts(
    components: Iterable[Component], registry: Registry, examples: Examples
) -> Iterator[Verdict]:
    with tempfile.TemporaryDirectory(prefix="dlplug-check-") as folder:
        for number, component in enumerate(components):
            example = examples.get((component.kind, component.name), Example())
            place = Path(folder) / str(number)
            yield from check_component(Subject(component, registry, example, place))


def check_component(subject: Subject, rules: Sequence[Rule] | None = None) -> Iterator[Verdict]:
    """The verdict of every rule that concerns one component, in order; None stands for all."""
    asked = [r for r in (all_rules() if rules is None else rules) if subject.kind in r.kinds]
    component = subject.component
    if not asked and component.is_problem:
        # A rename that leads nowhere.
        place = component.kind, component.id, "loads"
        yield Verdict(*place, Outcome.FAILED, component.reason, component.fix)
    closed: Rule | None = None
    for rule in asked:
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
        # The error of a config knows its own fix, and so does that of a component which cannot be
        # built; that of an import is for users, not for authors.
        is_own = isinstance(error, (Broken, ConfigError)) or type(error) is PluginError
        own = error.fix if is_own else None
        return Verdict(*place, Outcome.FAILED, _reason(error), own or rule.fix)
    return Verdict(*place, Outcome.OK)


def _reason(error: BaseException) -> str:
    if isinstance(error, DlplugError):
        text = f"{error.what}; {error.where}" if error.where else error.what
    else:
        text = str(error) if isinstance(error, Broken) else cause_of(error)
    text = one_line(text)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
