"""The report says each reason once."""

from dlplug.testing.check import check_component
from dlplug.testing.rule import Broken, Rule
from dlplug.testing.verdict import Outcome, Verdict, report_text


def verdict(rule, outcome, reason=None, fix=None):
    return Verdict("losses", "acme:x", rule, outcome, reason, fix)


def test_rules_with_one_reason_share_a_line():
    """Failures come first, those that were not asked after a gate together."""
    silent = [verdict(name, Outcome.DOES_NOT_APPLY, "not asked after builds") for name in "abc"]
    other = verdict("d", Outcome.DOES_NOT_APPLY, "its authors say: slow")
    failed = verdict("builds", Outcome.FAILED, "no", "mend it")
    text = report_text("acme", "1", [verdict("loads", Outcome.OK), *silent, other, failed])
    assert text.splitlines()[2:] == [
        "losses acme:x",
        "  FAILED builds: no",
        "    fix: mend it",
        "  does not apply: a, b, c: not asked after builds",
        "  does not apply: d: its authors say: slow",
        "  ok: loads",
        "",
        "1 ok, 1 failed, 4 does not apply",
    ]


def test_a_reason_may_bring_its_own_fix(fake_distribution, tmp_path):
    """Instead of the rule's."""
    from dlplug.plugin import Registry
    from dlplug.testing.example import Example
    from dlplug.testing.subject import Subject

    def breaks(subject):
        raise Broken("no", fix="the very thing")

    component = Registry.discover().find("losses", "mse")
    subject = Subject(component, Registry.discover(), Example(), tmp_path)
    rules = [Rule("breaks", ("losses",), "", "the rule's", breaks)]
    assert [v.fix for v in check_component(subject, rules)] == ["the very thing"]
