"""What authors of a first component do wrong is told with the fix of that very slip."""

import pytest

from dlplug.testing.verdict import Outcome
from tests.testing.test_rules import subject, verdict_of

SLIPS = "tests.testing.bad.slips"
INITIALISE = "call super().__init__() first in its __init__"


@pytest.mark.parametrize(
    ("kind", "name", "rule", "reason", "fix"),
    [
        ("architectures", "Uninitialised", "builds", "not initialised as a module", INITIALISE),
        ("architectures", "Layered", "builds", "cannot assign module before", INITIALISE),
        (
            "architectures",
            "WholeNumbers",
            "gives_finite_outputs",
            "forward returns (4, 3) int64",
            "return the scores themselves",
        ),
        (
            "architectures",
            "Returnless",
            "gives_finite_outputs",
            "forward returns None",
            "end forward with 'return'",
        ),
        (
            "architectures",
            "Detached",
            "trains_every_parameter",
            "its output depends on no parameter",
            "use the parameter in forward",
        ),
        (
            "architectures",
            "PlainList",
            "trains_every_parameter",
            "2 weights that the architecture's output depends on",
            "make layers and nn.Parameter in __init__",
        ),
        ("architectures", "Renewing", "trains", "forward makes the parameter", "make layers and"),
        ("losses", "UninitialisedLoss", "builds", "not initialised as a module", INITIALISE),
        ("losses", "Item", "is_one_finite_number", "it gives float", "return the tensor itself"),
        ("losses", "Count", "is_one_finite_number", "it gives () int64", "compute it by diff"),
        (
            "losses",
            "SwappedScore",
            "takes_the_output_first",
            "only in the order (target, output)",
            "define forward(self, output, target)",
        ),
        (
            "losses",
            "Keyed",
            "builds",
            "KeyError: 'weight'",
            "correct it (a loss is called with the output first, then the target), or say which",
        ),
        ("losses", "Overwriting", "trains", "changes the target in place", "make a new tensor"),
    ],
)
def test_a_slip_is_told_with_its_own_fix(
    kind, name, rule, reason, fix, fake_distribution, tmp_path
):
    """Not with the rule's, which is for other reasons."""
    found = verdict_of(subject(fake_distribution, tmp_path, kind, f"{SLIPS}:{name}"), rule)
    assert (found.rule, found.outcome) == (rule, Outcome.FAILED), found.reason
    assert reason in found.reason and found.fix.startswith(fix), found
