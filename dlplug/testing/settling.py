"""Which form of target a stranger's loss or metric takes, found out by trying."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from torchmetrics import MetricCollection

from dlplug.errors import PluginError
from dlplug.plugin.failure import cause_of
from dlplug.tasks.loss_checks import ORDER, check_target, takes_swapped
from dlplug.testing.answers import objection
from dlplug.testing.example import FILE
from dlplug.testing.forms import TARGETS
from dlplug.testing.rule import Broken
from dlplug.testing.subject import Subject

# Others have to be named in the examples.
TRIED = ("classes", "numbers", "labels", "quantiles")


def settle_target(subject: Subject) -> None:
    """Give a loss or metric the first form of target that it takes without an exception.

    Of several, a loss gets the first in which it prefers right outputs to wrong ones; of none,
    the one that it takes in the other order, which a rule then tells.

    Raises:
        Broken: it takes none of them.
        PluginError: it cannot be built for any.
    """
    if subject.kind not in ("losses", "metrics") or subject.target_form is not None:
        return
    taken, errors = [], {}
    for form in TRIED:
        subject.target_form = form
        try:
            _call(subject)
        except Exception as error:
            errors[form] = error
        else:
            taken.append(form)
    subject.target_form = None
    if subject.kind == "losses":
        preferred = preferred_form(subject, taken) or (
            None
            if taken
            else preferred_form(subject, TRIED, is_swapped=True) or swapped_form(subject, TRIED)
        )
        taken[:0] = [preferred] if preferred else []
    if not taken:
        raise _refusal(subject, errors)
    subject.target_form = taken[0]


def preferred_form(subject: Subject, forms: Sequence[str], is_swapped: bool = False) -> str | None:
    """The first of the forms whose right outputs a loss prefers to wrong ones, or None.

    Args:
        subject: Of a loss.
        forms: Of targets.
        is_swapped: Whether it gets its arguments in the other order.
    """
    kept = subject.target_form
    try:
        for form in forms:
            subject.target_form = form
            with suppress(Exception):  # of whatever kind: it does not take them
                loss = subject.build()
                if objection(_swapped(loss) if is_swapped else loss, subject.answers) is None:
                    return form
    finally:
        subject.target_form = kept
    return None


def swapped_form(subject: Subject, forms: Sequence[str]) -> str | None:
    """The first of the forms that a loss takes in the other order alone, or None."""
    kept = subject.target_form
    try:
        for form in forms:
            subject.target_form = form
            try:
                _call(subject)
            except Exception:
                with suppress(Exception):  # it may not even be built
                    if takes_swapped(subject.build(), *subject.compared()):
                        return form
    finally:
        subject.target_form = kept
    return None


def _refusal(subject: Subject, errors: Mapping[str, Exception]) -> Exception:
    """What to raise where a component takes no form of target."""
    found = list(errors.values())
    if all(type(error) is PluginError for error in found):
        return found[0]  # it cannot be built at all
    reasons = "; ".join(f"{form}: {cause_of(error)}" for form, error in errors.items())
    example = f"{subject.kind}: {{{subject.component.name}: {{target: pixels}}}}"
    form = f"say which targets it takes in {FILE}: {example}; known: {', '.join(TARGETS)}"
    order = f" ({ORDER})" if subject.kind == "losses" else ""
    return Broken(
        f"it takes no random output and target; {reasons}", f"correct it{order}, or {form}"
    )


def _swapped(loss: Callable) -> Callable:
    return lambda output, target: loss(target, output)


def _call(subject: Subject) -> None:
    if subject.kind == "losses":
        loss, (output, target) = subject.build(), subject.compared()
        loss(output, target)
        check_target(loss, target)
        return
    output, target, besides = subject.measured()
    MetricCollection({"metric": subject.build()}).update(output, target, **besides)
