"""``dlplug merge``: a checkpoint of the plain architecture, with the adapters in its weights."""

from pathlib import Path

# dlplug has no public names yet for what its own commands are made of: these, and in export.py
# those of `dlplug.run` and `dlplug.storage`, may move with its version.
from dlplug.cli.answer import print_json
from dlplug.cli.options import JSON, Option
from dlplug.cli.verb import (
    CKPT_PATH,
    CONFIG,
    RUN,
    TRUST,
    chosen_run,
    load_experiment,
    read_arguments,
    require_weights,
    spec_of_checkpoint,
)
from dlplug.errors import ConfigError
from dlplug.plugin import Registry

ABOUT = "Write the adapters of a training into the weights of its architecture."
EXAMPLES = ("--run latest --output merged.ckpt",)
OUTPUT = Option("output", "file to write", "FILE")
OPTIONS = (RUN, CKPT_PATH, OUTPUT, CONFIG, TRUST, JSON)


def main(arguments: list[str], registry: Registry) -> int:
    """Merge, write a checkpoint, say where; returns the exit code."""
    parsed = read_arguments("merge", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    require_weights("merge", parsed)
    if parsed.get("output") is None:
        raise ConfigError(
            "merge needs a file to write", where="command line", fix="--output merged.ckpt"
        )
    run = chosen_run(parsed)
    checkpoint = Path(parsed.get("ckpt_path") or run.weights)
    experiment = load_experiment(parsed, registry, run, spec_of_checkpoint(checkpoint))
    from dlplug.run.quiet import quiet
    from dlplug_peft.export import write_merged

    with quiet():
        count = write_merged(experiment, checkpoint, Path(parsed.get("output")))
    answer = {"verb": "merge", "checkpoint": str(checkpoint), "output": parsed.get("output")}
    if parsed.get("json"):
        print_json({**answer, "tensors": count})
    else:
        print(f"{count} tensors are written to {parsed.get('output')}")
    return 0
