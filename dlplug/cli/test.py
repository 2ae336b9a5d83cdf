"""``dlplug test``: measure a trained model on the test split."""

from dlplug.cli.verb import (
    CKPT_PATH,
    RUN,
    SHARED,
    chosen_run,
    load_experiment,
    print_config,
    read_arguments,
    report,
    require_weights,
)
from dlplug.plugin import Registry

ABOUT = "Measure the best weights of a run on the test split; the run counts its tests."
EXAMPLES = ("--run latest", "--config configs/digits_mlp.yaml --ckpt_path best.ckpt")
OPTIONS = (RUN, CKPT_PATH, *SHARED)


def main(arguments: list[str], registry: Registry) -> int:
    """Measure, print the metrics; returns the exit code."""
    parsed = read_arguments("test", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    require_weights("test", parsed)
    run = chosen_run(parsed)
    experiment = load_experiment(parsed, registry, run)
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.run import verbs

    return report(parsed, verbs.test(experiment, run=run, ckpt_path=parsed.get("ckpt_path")))
