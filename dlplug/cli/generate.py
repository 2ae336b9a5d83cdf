"""``dlplug generate``: let a trained language model continue a text."""

from dlplug.cli.answer import print_json
from dlplug.cli.options import Option
from dlplug.cli.verb import (
    CKPT_PATH,
    RUN,
    SHARED,
    chosen_run,
    load_experiment,
    print_config,
    read_arguments,
    require_weights,
    spec_of_checkpoint,
    weights_of,
)
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
    numbers = {
        name: parsed.number(name, kind=kind)
        for name, kind in NUMBERS.items()
        if parsed.get(name) is not None
    }
    run = chosen_run(parsed)
    checkpoint = weights_of(parsed, run)
    spec = spec_of_checkpoint(checkpoint)
    experiment = load_experiment(parsed, registry, run, spec, one_device=True)
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.run.generation import generate_text
    from dlplug.run.quiet import quiet

    with quiet():
        made = generate_text(experiment, checkpoint, parsed.get("prompt", ""), **numbers)
    if parsed.get("json"):
        print_json(made.to_dict())
    else:
        print(made.prompt + made.text)
    return 0
