"""``dlplug check overfit`` and ``dlplug check gradients``: can this be trained at all?"""

from dlplug.cli.group import Form, run_form
from dlplug.plugin import Registry

FORMS = {
    "overfit": Form("dlplug.cli.check_overfit:main", "learn one batch by heart"),
    "gradients": Form("dlplug.cli.check_gradients:main", "autograd against finite differences"),
}


def main(arguments: list[str], registry: Registry) -> int:
    """Run one of them; returns the exit code."""
    return run_form("check", FORMS, arguments, registry)
