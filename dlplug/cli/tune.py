"""``dlplug tune lr`` and ``dlplug tune batch-size``: find a setting by trying it."""

from dlplug.cli.group import Form, run_form
from dlplug.plugin import Registry

FORMS = {
    "lr": Form("dlplug.cli.tune_lr:main", "learning-rate range test: loss against a growing rate"),
    "batch-size": Form("dlplug.cli.tune_batch_size:main", "speed and memory of growing batches"),
}


def main(arguments: list[str], registry: Registry) -> int:
    """Run one of them; returns the exit code."""
    return run_form("tune", FORMS, arguments, registry)
