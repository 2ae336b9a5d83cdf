"""``dlplug predict``: use a trained model."""

from dlplug.cli.options import Option, Parsed
from dlplug.cli.verb import (
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

ABOUT = "Write the class and the probabilities of each input as CSV."
EXAMPLES = ("--run latest --input images.npy", "--run latest --output predictions.csv")
OPTIONS = (
    RUN,
    Option("ckpt_path", "another checkpoint than the best; of several, the mean", "FILE", True),
    Option("input", "array of raw inputs; without it, the test split", "FILE.npy"),
    Option("output", "where to write; without it, a new file in the run's folder", "FILE.csv"),
    *SHARED,
)


def main(arguments: list[str], registry: Registry) -> int:
    """Predict, print where the predictions are; returns the exit code."""
    parsed = read_arguments("predict", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    require_weights("predict", parsed)
    run = chosen_run(parsed)
    spec = None if parsed.get("input") is None else spec_of_checkpoint(parsed, run)
    experiment = load_experiment(parsed, registry, run, data_spec=spec)
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.run import verbs

    result = verbs.predict(
        experiment,
        run=run,
        ckpt_path=parsed.get("ckpt_path"),
        input=parsed.get("input"),
        output=parsed.get("output"),
    )
    return report(parsed, result)


def spec_of_checkpoint(parsed: Parsed, run) -> object:
    """What the checkpoint knows of its data, so that no training data is needed; None if nothing.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    from pathlib import Path

    from dlplug.data.spec import DataSpec
    from dlplug.run.checkpoint_io import read_checkpoint
    from dlplug.tasks.checkpoint import KEY

    path = next(iter(parsed.get("ckpt_path") or ()), None) or run.weights
    record = read_checkpoint(Path(path)).get(KEY) or {}
    return DataSpec.from_dict(record["data_spec"]) if "data_spec" in record else None
