"""``dlplug generate``: let a trained language model continue a text."""

import json
from pathlib import Path

from dlplug.cli.options import Option, Parsed
from dlplug.cli.predict import spec_of_checkpoint
from dlplug.cli.verb import (
    CKPT_PATH,
    RUN,
    SHARED,
    chosen_run,
    load_experiment,
    print_config,
    read_arguments,
    require_weights,
)
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

ABOUT = "Continue a text with a language model that was trained here."
EXAMPLES = (
    '--run latest --prompt "In the beginning"',
    '--run latest --prompt "And God" --temperature 0.8 --top_k 40 --seed 3',
)
NUMBERS = {
    "max_tokens": int,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "seed": int,
}
OPTIONS = (
    RUN,
    CKPT_PATH,
    Option("prompt", "what the text begins with", "TEXT"),
    Option("max_tokens", "tokens to write, at most; 100 unless given", "N"),
    Option("temperature", "below 1 safer, above 1 wilder; 0 always the likeliest token", "X"),
    Option("top_k", "draw from so many of the likeliest tokens", "N"),
    Option("top_p", "draw from the fewest tokens that are this likely together", "X"),
    Option("seed", "the same seed writes the same text; 0 unless given", "N"),
    *SHARED,
)


def main(arguments: list[str], registry: Registry) -> int:
    """Generate, print the text; returns the exit code."""
    parsed = read_arguments("generate", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    require_weights("generate", parsed)
    numbers = numbers_of(parsed)
    run = chosen_run(parsed)
    experiment = load_experiment(parsed, registry, run, spec_of_checkpoint(parsed, run))
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.run.generation import generate_text
    from dlplug.run.quiet import quiet

    checkpoint = Path(parsed.get("ckpt_path") or run.weights)
    with quiet():
        made = generate_text(experiment, checkpoint, parsed.get("prompt", ""), **numbers)
    print(json.dumps(made.to_dict()) if parsed.get("json") else made.prompt + made.text)
    return 0


def numbers_of(parsed: Parsed) -> dict[str, int | float]:
    """The options that are numbers, as numbers.

    Raises:
        InvalidValueError: one is none.
    """
    numbers = {}
    for name, kind in NUMBERS.items():
        text = parsed.get(name)
        if text is None:
            continue
        try:
            numbers[name] = kind(text)
        except ValueError as error:
            what = "whole number" if kind is int else "number"
            raise InvalidValueError(
                f"--{name} {text!r} is no {what}", where="command line"
            ) from error
    return numbers
