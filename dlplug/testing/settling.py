"""Which form of target a stranger's loss or metric takes, found out by trying."""

from torchmetrics import MetricCollection

from dlplug.plugin.failure import cause_of
from dlplug.testing.rule import Broken
from dlplug.testing.subject import Subject

# Others have to be named in the examples.
TRIED = ("classes", "numbers", "labels", "quantiles")


def settle_target(subject: Subject) -> None:
    """Give a loss or metric the first form of target that it takes without an exception.

    Raises:
        Broken: it takes none of them.
    """
    if subject.kind not in ("losses", "metrics") or subject.target_form is not None:
        return
    reasons = []
    for form in TRIED:
        subject.target_form = form
        try:
            _call(subject)
        except Exception as error:
            reasons.append(f"{form}: {cause_of(error)}")
        else:
            return
    subject.target_form = None
    raise Broken(f"it takes no random output and target; {'; '.join(reasons)}")


def _call(subject: Subject) -> None:
    if subject.kind == "losses":
        subject.build()(*subject.compared())
        return
    output, target, besides = subject.measured()
    MetricCollection({"metric": subject.build()}).update(output, target, **besides)
