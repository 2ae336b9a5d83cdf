"""``dlplug validate``: measure a trained model on the validation split."""

from dlplug.cli.evaluation import measure
from dlplug.plugin import Registry

ABOUT = "Measure the best weights of a run on the validation split."


def main(arguments: list[str], registry: Registry) -> int:
    """Measure, print the metrics; returns the exit code."""
    return measure("validate", ABOUT, arguments, registry)
