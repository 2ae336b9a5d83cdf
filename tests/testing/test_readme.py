"""The README's table of rules is what the rules say of themselves."""

from pathlib import Path

from dlplug.testing.rule import COMPONENTS, all_rules
from dlplug.testing.rules import __all__ as families

NAMED = {
    COMPONENTS: "components",
    (*COMPONENTS, "hooks", "commands"): "components, hooks, commands",
    (*COMPONENTS, "hooks", "commands", "presets"): "all",
}
README = Path(__file__).parents[2] / "dlplug/testing/README.md"


def table() -> str:
    """Rule, what it proves, kinds."""
    rows = ["| rule | a component that keeps it | asked of |", "|---|---|---|"]
    for rule in all_rules():
        kinds = NAMED.get(rule.kinds, ", ".join(rule.kinds))
        rows.append(f"| `{rule.name}` | {rule.proves} | {kinds} |")
    return "\n".join(rows)


def test_the_readme_lists_every_rule():
    """In the order in which they are asked."""
    assert len(families) == len(list((README.parent / "rules").glob("*.py"))) - 1
    assert table() in README.read_text()
