"""What the diagnosing commands have in common on the command line."""

from typing import TYPE_CHECKING

from dlplug.cli.options import Parsed
from dlplug.cli.verb import load_experiment, print_config
from dlplug.plugin import Registry

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def experiment_or_config(parsed: Parsed, registry: Registry) -> "Experiment | None":
    """The experiment; None after ``--print_config`` was answered."""
    experiment = load_experiment(parsed, registry, None)
    if parsed.get("print_config"):
        print_config(parsed, experiment)
        return None
    return experiment
