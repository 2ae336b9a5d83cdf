"""``dlplug tune lr`` and ``dlplug tune batch-size``: find a setting by trying it."""

from dlplug.cli.group import run_form
from dlplug.plugin import Registry

FORMS = {
    "lr": ("dlplug.cli.tune_lr", "learning-rate range test: loss against a growing rate"),
    "batch-size": ("dlplug.cli.tune_batch_size", "speed and memory of growing batches"),
}


def main(arguments: list[str], registry: Registry) -> int:
    """Run one of them; returns the exit code."""
    return run_form("tune", FORMS, arguments, registry)
