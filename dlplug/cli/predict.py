"""``dlplug predict``: use a trained model."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dlplug.cli.options import Option
from dlplug.cli.verb import (
    ANY_SPLIT,
    RUN,
    SHARED,
    chosen_run,
    load_experiment,
    print_config,
    read_arguments,
    report,
    require_weights,
    spec_of_checkpoint,
)
from dlplug.errors import CheckpointError, ConfigError
from dlplug.plugin import Registry

if TYPE_CHECKING:
    from dlplug.data.spec import DataSpec
    from dlplug.run.folder import Run

ABOUT = "Write what the model says of each input as CSV: classes and probabilities, numbers, text."
EXAMPLES = ("--run latest --input images.npy", "--run latest --output predictions.csv")
OPTIONS = (
    RUN,
    Option("ckpt_path", "another checkpoint than the best; of several, the mean", "FILE", True),
    Option(
        "input",
        "raw inputs as the data reads them: an array (.npy), a table (CSV, Parquet), JSON lines, a"
        " text, an image or a folder of images; without it, the test split",
        "FILE",
    ),
    Option("output", "where to write; without it, a new file in the run's folder", "FILE.csv"),
    ANY_SPLIT,
    *SHARED,
)


def main(arguments: list[str], registry: Registry) -> int:
    """Predict, print where the predictions are; returns the exit code."""
    parsed = read_arguments("predict", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    require_weights("predict", parsed)
    run = chosen_run(parsed)
    paths = parsed.get("ckpt_path") or [run.weights]
    if parsed.get("input") is not None and parsed.get("any_split"):
        raise ConfigError(
            "--input takes the place of the test split, so that --any_split would say nothing",
            where="command line",
            fix="leave one of them out",
        )
    experiment = load_experiment(parsed, registry, run, _spec(run, Path(paths[0])))
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.run import verbs

    result = verbs.predict(
        experiment,
        run=run,
        ckpt_path=parsed.get("ckpt_path"),
        input=parsed.get("input"),
        output=parsed.get("output"),
        any_split=parsed.get("any_split", False),
    )
    return report(parsed, result)


def _spec(run: "Run | None", path: Path) -> "DataSpec | None":
    """Of the run's weights, whose data its config fits, or of another checkpoint of the run that is
    not damaged; of those at ``path`` without such.

    Other checkpoints bring what they need of their own, later.
    """
    own = [] if run is None or path == run.weights else [run.weights, run.last, run.previous]
    for checkpoint in own:
        with suppress(CheckpointError):
            return spec_of_checkpoint(checkpoint)
    return spec_of_checkpoint(path)
