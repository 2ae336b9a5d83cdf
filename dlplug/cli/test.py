"""``dlplug test``: measure a trained model on the test split."""

from dlplug.cli.evaluation import measure
from dlplug.plugin import Registry

ABOUT = "Measure the best weights of a run on the test split; the run counts its tests."


def main(arguments: list[str], registry: Registry) -> int:
    """Measure, print the metrics; returns the exit code."""
    return measure("test", ABOUT, arguments, registry)
