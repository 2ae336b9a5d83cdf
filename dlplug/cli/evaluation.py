"""What ``validate`` and ``test`` do: measure trained weights on one split."""

from collections.abc import Sequence

from dlplug.cli.verb import (
    ANY_SPLIT,
    CKPT_PATH,
    RUN,
    SHARED,
    chosen_run,
    load_experiment,
    print_config,
    read_arguments,
    report,
    require_weights,
    spec_of_checkpoint,
    weights_of,
)
from dlplug.plugin import Registry

OPTIONS = (RUN, CKPT_PATH, ANY_SPLIT, *SHARED)
EXAMPLES = ("--run latest", "--config configs/digits_mlp.yaml --ckpt_path best.ckpt")


def measure(verb: str, about: str, arguments: Sequence[str], registry: Registry) -> int:
    """Measure, print the metrics; returns the exit code.

    Args:
        verb: ``validate`` or ``test``.
        about: What it does, for its help page.
        arguments: What follows the verb on the command line.
        registry: What is installed.
    """
    parsed = read_arguments(verb, about, EXAMPLES, OPTIONS, list(arguments), registry)
    if parsed is None:
        return 0
    require_weights(verb, parsed)
    run = chosen_run(parsed)
    spec = spec_of_checkpoint(weights_of(parsed, run))
    experiment = load_experiment(parsed, registry, run, spec)
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.run import verbs

    evaluate = {"validate": verbs.validate, "test": verbs.test}[verb]
    any_split = parsed.get("any_split", False)
    result = evaluate(experiment, run=run, ckpt_path=parsed.get("ckpt_path"), any_split=any_split)
    return report(parsed, result)
